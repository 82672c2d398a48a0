//! Cuts logs: a segment is a line, values are the words with digits in them.

use super::build::{Builder, Context};
use super::marks::Marks;

/// Kinds of bytes, as bits of a class.
const DIGIT: u8 = 1;
/// Digit, letter or joiner: part of a word.
const WORD: u8 = 2;
/// Holds a word together between letters and digits.
const JOINER: u8 = 4;
const LETTER: u8 = 8;
const LINE_FEED: u8 = 16;

/// What a byte is to a word. Without branches, so that it is computed for many bytes at once.
#[inline]
fn class(byte: u8) -> u8 {
    let digit = byte.wrapping_sub(b'0') < 10;
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26 || byte >= 0x80;
    let joiner = byte == b'.' || byte == b'-' || byte == b'_' || byte == b':' || byte == b'/';
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    flag(digit, DIGIT | WORD)
        | flag(letter, LETTER | WORD)
        | flag(joiner, JOINER | WORD)
        | flag(byte == b'\n', LINE_FEED)
}

/// Cuts the content. False if it does not suit.
#[must_use]
pub(super) fn cut(builder: &mut Builder<'_>) -> bool {
    let content = builder.content;
    let maps: [Marks; 5] = Marks::of(content, class);
    let [digits, words, joiners, letters, feeds] = &maps;
    let ends = words.ends_of_runs_with(digits);
    let with_letters = words.ends_of_runs_with(letters);
    let mut ends = ends.places();
    let mut word_end = ends.next();
    let mut feeds = feeds.places();
    let mut start = 0;
    while start < content.len() {
        let line_end = feeds.next().saturating_add(1).min(content.len());
        while word_end <= line_end {
            let (mut first, mut end) = (words.run_start(word_end), word_end);
            if joiners.has(first) {
                first = joiners.next_free(first);
            }
            if joiners.has(end.saturating_sub(1)) {
                end = joiners.run_start(end);
            }
            if with_letters.has(word_end) {
                builder.value(first, end, Context::Text);
            } else {
                cut_numbers(builder, digits, first, end);
            }
            word_end = ends.next();
        }
        if !builder.close(line_end) {
            return false;
        }
        start = line_end;
    }
    true
}

/// Cuts a word of digits and joiners, which begins and ends with digits: an address is one value, any
/// other run of digits one each.
fn cut_numbers(builder: &mut Builder<'_>, digits: &Marks, start: usize, end: usize) {
    let mut position = start;
    let mut number_end = digits.next_free(start);
    if builder.content.get(number_end) == Some(&b'.') {
        let word = builder.content.get(start..end).unwrap_or_default();
        let address_end = start + address(word);
        if address_end > start {
            number_end = address_end;
        }
    }
    while position < end {
        builder.value(position, number_end, Context::Text);
        position = digits.next(number_end);
        number_end = digits.next_free(position);
    }
}

/// Length of the IPv4 address at the start of `word`, 0 if there is none.
fn address(word: &[u8]) -> usize {
    let mut position = 0;
    for part in 0..4 {
        let rest = word.get(position..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=3).contains(&digits) {
            return 0;
        }
        position += digits;
        let next = word.get(position);
        if part < 3 {
            if next != Some(&b'.') {
                return 0;
            }
            position += 1;
        } else if next == Some(&b'.') {
            return 0;
        }
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Templates of the segments, holes shown as `*`.
    fn templates(content: &str) -> Vec<String> {
        let mut builder = Builder::new(content.as_bytes(), b'*');
        assert!(cut(&mut builder));
        let mut start = 0;
        let mut all = Vec::new();
        for &end in &builder.text_ends {
            all.push(String::from_utf8_lossy(&builder.texts[start..end]).into_owned());
            start = end;
        }
        all
    }

    #[test]
    fn words_with_digits_are_values() {
        assert_eq!(
            templates("12:30:01.5 sshd[77]: from 10.0.0.1:80 as node-7, 3 tries\n"),
            ["*:*:*.* sshd[*]: from *:* as *, * tries\n"]
        );
        assert_eq!(
            templates("no values\nat 1\nat 2"),
            ["no values\n", "at *\n", "at *"]
        );
        assert_eq!(
            templates("-5- 1.2.3 1.2.3.4.5\n"),
            ["-*- *.*.* *.*.*.*.*\n"]
        );
    }
}
