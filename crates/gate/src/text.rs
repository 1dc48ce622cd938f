//! Saying things without an allocator.

use core::fmt::{self, Write};

/// The longest message, in octets; what is beyond is cut off.
const LINE_OCTETS_MAX: usize = 1_024;

/// A line of text of limited length.
pub(crate) struct Line {
    octets: [u8; LINE_OCTETS_MAX],
    length: usize,
}

impl Line {
    /// A message of the gate: `timeball-gate: MESSAGE` and a line feed.
    pub(crate) fn message(message: fmt::Arguments<'_>) -> Self {
        Self::new(format_args!("timeball-gate: {message}\n"))
    }

    /// This text as it stands.
    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self { octets: [0; LINE_OCTETS_MAX], length: 0 };
        if line.write_fmt(text).is_err() {
            line.octets[LINE_OCTETS_MAX - 1] = b'\n';
        }
        line
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LINE_OCTETS_MAX - self.length;
        let taken = text.len().min(room);
        self.octets[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        if taken < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Text from outside, shown: what is no UTF-8 or would steer a terminal becomes a mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                let mark = char::REPLACEMENT_CHARACTER;
                f.write_char(if character.is_control() { mark } else { character })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_that_is_too_long_is_cut_and_still_ends_its_line() {
        let long = "x".repeat(2 * LINE_OCTETS_MAX);
        let line = Line::message(format_args!("{long}"));
        assert_eq!(line.as_bytes().len(), LINE_OCTETS_MAX);
        assert!(line.as_bytes().starts_with(b"timeball-gate: xxx"));
        assert!(line.as_bytes().ends_with(b"x\n"));
        assert_eq!(Line::message(format_args!("{}", 5)).as_bytes(), b"timeball-gate: 5\n");
    }

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        assert_eq!(Shown(b"a\x1b[31m\xffb\xc3\xbc").to_string(), "a\u{fffd}[31m\u{fffd}bü");
    }
}
