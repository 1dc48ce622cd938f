//! The last octets of a stream of any length.

use std::collections::VecDeque;

/// Keeps the last octets that were written, at most a fixed number.
pub(super) struct Tail {
    octets: VecDeque<u8>,
    octets_max: usize,
    cut: bool,
}

impl Tail {
    pub(super) fn new(octets_max: usize) -> Self {
        Self { octets: VecDeque::with_capacity(octets_max), octets_max, cut: false }
    }

    pub(super) fn push(&mut self, octets: &[u8]) {
        let kept = &octets[octets.len().saturating_sub(self.octets_max)..];
        let excess = (self.octets.len() + kept.len()).saturating_sub(self.octets_max);
        self.cut |= excess > 0 || kept.len() < octets.len();
        self.octets.drain(..excess);
        self.octets.extend(kept);
    }

    /// What was kept as text, without white space at its ends; begins with `…` where more was said.
    pub(super) fn text(&self) -> String {
        let octets: Vec<u8> = self.octets.iter().copied().collect();
        // A cut in the middle of a character leaves continuation octets, which belong to nothing.
        let start = octets.iter().take(3).take_while(|octet| **octet & 0xc0 == 0x80).count();
        let text = String::from_utf8_lossy(&octets[if self.cut { start } else { 0 }..]);
        let text = text.trim();
        if self.cut && !text.is_empty() { format!("…{text}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_octets_are_kept_whole_characters_at_that() {
        let mut tail = Tail::new(8);
        tail.push(b" abc\n");
        assert_eq!(tail.text(), "abc");
        tail.push(b"defgh");
        assert_eq!(tail.text(), "…bc\ndefgh");
        tail.push("0123456789ééé".as_bytes());
        assert_eq!(tail.text(), "…89ééé");
        tail.push("x".as_bytes());
        assert_eq!(tail.text(), "…9éééx");
        let mut empty = Tail::new(2);
        empty.push(b"abc\n\n");
        assert_eq!(empty.text(), "");
    }
}
