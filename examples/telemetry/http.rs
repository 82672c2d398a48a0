//! As much of HTTP/1.1 as a collector and a scraper need: one request for each connection, with a
//! length, on a local network. A program of yours takes a library instead.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest wait for the other side.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of a message, in bytes.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// Longest body, in bytes.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// A message: its first line and its body.
pub(crate) struct Message {
    pub(crate) first_line: String,
    pub(crate) body: Vec<u8>,
}

/// Splits `http://HOST:PORT/PATH` into what to connect to and what to ask for.
pub(crate) fn split(url: &str) -> io::Result<(&str, &str)> {
    let wrong = || {
        let message = format!("{url} is not of the form http://HOST:PORT/PATH");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let at = rest.find('/').ok_or_else(wrong)?;
    Ok(rest.split_at(at))
}

/// Sends a request and returns status and body of the answer.
pub(crate) fn call(url: &str, kind: &str, body: Option<&[u8]>) -> io::Result<(u16, Vec<u8>)> {
    let (host, path) = split(url)?;
    let address = host.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let answer = read(&stream)?;
    let status = answer.first_line.split(' ').nth(1);
    let status = status.and_then(|status| status.parse().ok());
    let status = status
        .ok_or_else(|| io::Error::other(format!("not an answer: {:?}", answer.first_line)))?;
    Ok((status, answer.body))
}

/// Reads a request or an answer.
pub(crate) fn read(stream: &TcpStream) -> io::Result<Message> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(stream).take(HEAD_BYTES_MAX);
    let mut first_line = String::new();
    head.read_line(&mut first_line)?;
    let mut length = None;
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the head of the message has no end"));
        }
        match line.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<u64>().ok();
            }
            Some(_) => {}
        }
    }
    // Only requests that carry nothing have no length here.
    let length = length.unwrap_or(0);
    if length > BODY_BYTES_MAX {
        let message = format!("a body of {length} bytes; at most {BODY_BYTES_MAX} are read");
        return Err(io::Error::other(message));
    }
    let mut body = Vec::new();
    head.into_inner().take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::Error::other("the body ended early"));
    }
    Ok(Message {
        first_line: first_line.trim_end().to_owned(),
        body,
    })
}

/// Sends an answer.
pub(crate) fn answer(
    mut stream: &TcpStream,
    status: &str,
    kind: &str,
    body: &[u8],
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
