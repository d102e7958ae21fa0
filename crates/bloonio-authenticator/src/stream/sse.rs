//! Server-sent events out of bytes (WHATWG HTML, 9.2.6 "Interpreting an event stream").

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its type; `message` where none was given.
    pub kind: String,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// A line longer than this is no hint of a relay's.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// A line, or an event's data, beyond [`MAX_LINE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Takes bytes as they arrive, in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    kind: String,
    data: Option<String>,
}

impl Parser {
    /// Reads `bytes`; gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            // A line ends with CR LF, LF or CR; the LF of a CR LF may come in the next piece.
            let second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(&String::from_utf8_lossy(&line))?);
                }
                _ if self.line.len() == MAX_LINE_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Result<Option<Event>, TooLong> {
        let line = if self.begun { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            return Ok(self.data.take().map(|data| Event { kind, data }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) if data.len() + value.len() >= MAX_LINE_BYTES => return Err(TooLong),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            // Comments (an empty field name), `id`, `retry`, and what newer relays send.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn event(kind: &str, data: &str) -> Event {
        Event { kind: kind.into(), data: data.into() }
    }

    #[rstest]
    #[case::line_feeds("event: challenge\ndata: {}\n\n", vec![event("challenge", "{}")])]
    #[case::crlf("event: challenge\r\ndata: {}\r\n\r\n", vec![event("challenge", "{}")])]
    #[case::carriage_returns("event: challenge\rdata: {}\r\r", vec![event("challenge", "{}")])]
    #[case::without_space("event:challenge\ndata:{}\n\n", vec![event("challenge", "{}")])]
    #[case::one_space_only("data:  x\n\n", vec![event("message", " x")])]
    #[case::comments(": keep-alive\n\n:\nevent: a\n: between\ndata: x\n\n", vec![event("a", "x")])]
    #[case::several_lines("data: {\ndata: }\n\n", vec![event("message", "{\n}")])]
    #[case::empty_data("data\n\n", vec![event("message", "")])]
    #[case::no_data("event: a\n\n", vec![])]
    #[case::kind_is_not_inherited("event: a\n\ndata: x\n\n", vec![event("message", "x")])]
    #[case::other_fields("id: 1\nretry: 5\nnew: x\ndata: x\n\n", vec![event("message", "x")])]
    #[case::two_events("data: 1\n\ndata: 2\n\n", vec![event("message", "1"), event("message", "2")])]
    #[case::unfinished("data: x\n", vec![])]
    #[case::byte_order_mark("\u{feff}data: x\n\n", vec![event("message", "x")])]
    #[case::colons_in_data("data: a:b\n\n", vec![event("message", "a:b")])]
    fn streams_are_read_by_the_rules(#[case] stream: &str, #[case] events: Vec<Event>) {
        assert_eq!(Parser::default().push(stream.as_bytes()), Ok(events.clone()));
        let mut byte_by_byte = Parser::default();
        let pieces = stream.as_bytes().chunks(1).map(|piece| byte_by_byte.push(piece).unwrap());
        assert_eq!(pieces.flatten().collect::<Vec<_>>(), events);
    }

    #[test]
    fn endless_lines_and_endless_data_are_refused() {
        let line = format!("data: {}", "x".repeat(MAX_LINE_BYTES));
        assert_eq!(Parser::default().push(line.as_bytes()), Err(TooLong));
        let lines = format!("data: {}\n", "x".repeat(1000)).repeat(100);
        assert_eq!(Parser::default().push(lines.as_bytes()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_events(bytes: Vec<u8>, cut: prop::sample::Index) {
            let whole = Parser::default().push(&bytes).unwrap();
            let (head, tail) = bytes.split_at(if bytes.is_empty() { 0 } else { cut.index(bytes.len()) });
            let mut parser = Parser::default();
            let mut events = parser.push(head).unwrap();
            events.extend(parser.push(tail).unwrap());
            prop_assert_eq!(events, whole);
        }
    }
}
