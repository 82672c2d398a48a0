//! Cuts logs: a segment is a line, values are the words with digits in them.

use super::build::{Builder, Context};

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
/// Holds a word together between letters and digits.
const JOINER: u8 = 4;

/// What each byte is to a word; 0 ends it.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0u8;
    #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
    loop {
        class[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => LETTER,
            b'.' | b'-' | b'_' | b':' | b'/' => JOINER,
            _ => 0,
        };
        if byte == u8::MAX {
            break class;
        }
        byte += 1;
    }
};

#[expect(clippy::indexing_slicing, reason = "every byte has a class")]
fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// Cuts the content. False if it does not suit.
#[must_use]
pub(super) fn cut(builder: &mut Builder<'_>) -> bool {
    let content = builder.content;
    let mut start = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let end = start + line.len();
        cut_line(builder, line, start);
        if !builder.close() {
            return false;
        }
        start = end;
    }
    true
}

fn cut_line(builder: &mut Builder<'_>, line: &[u8], offset: usize) {
    // Literal text from here on is not yet given to the builder.
    let mut literal = 0;
    let mut position = 0;
    while let Some(rest) = line.get(position..) {
        // To the next word.
        let Some(skip) = rest.iter().position(|&byte| class(byte) != 0) else {
            break;
        };
        let start = position + skip;
        let mut kinds = 0;
        let mut end = start;
        for &byte in rest.get(skip..).unwrap_or_default() {
            let kind = class(byte);
            if kind == 0 {
                break;
            }
            kinds |= kind;
            end += 1;
        }
        position = end;
        if kinds & DIGIT == 0 {
            continue;
        }
        let word = line.get(start..end).unwrap_or_default();
        let lead = word
            .iter()
            .take_while(|&&byte| class(byte) == JOINER)
            .count();
        let trail = word
            .iter()
            .rev()
            .take_while(|&&byte| class(byte) == JOINER)
            .count();
        let (start, end) = (start + lead, end - trail);
        builder.literal(offset + literal, offset + start);
        let word = line.get(start..end).unwrap_or_default();
        if kinds & LETTER != 0 {
            builder.value(offset + start, offset + end, Context::Text);
        } else {
            cut_numbers(builder, word, offset + start);
        }
        literal = end;
    }
    builder.literal(offset + literal, offset + line.len());
}

/// Cuts a word of digits and joiners: an address is one value, any other run of digits one each.
fn cut_numbers(builder: &mut Builder<'_>, word: &[u8], offset: usize) {
    let mut position = address(word);
    if position > 0 {
        builder.value(offset, offset + position, Context::Text);
    }
    while position < word.len() {
        let rest = word.get(position..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            builder.value(offset + position, offset + position + digits, Context::Text);
        } else {
            builder.literal(offset + position, offset + position + 1);
        }
        position += digits.max(1);
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
