//! Numbers: their grammar, and what is kept of one that is cut.

use crate::json::scanner::{Malformed, Scanner, State};
use crate::json::shape::Shape;
use crate::json::slots::{self, Slots, Value};

/// Bytes of one number that are kept; longer ones are no counts.
pub(super) const NUMBER: usize = 64;

/// Where in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    Start,
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Digits {
    #[inline]
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, b'-') => Self::Minus,
            (Self::Start, b'0') => Self::Zero,
            (Self::Start, b'1'..=b'9') => Self::Whole,
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

impl Scanner {
    /// Inside a number, up to its end or the end of the piece.
    #[inline]
    pub(super) fn number(
        &mut self,
        mut digits: Digits,
        bytes: &[u8],
        start: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            // Runs of digits are most of what embeddings are made of.
            let runs = matches!(digits, Digits::Whole | Digits::Fraction | Digits::Power);
            if runs && byte.is_ascii_digit() {
                at += 1;
                continue;
            }
            let Some(next) = digits.next(*byte) else {
                self.number_end(digits, &bytes[start..at], shape, slots)?;
                return Ok(at);
            };
            digits = next;
            at += 1;
        }
        self.state = State::Number(digits);
        let room = (NUMBER + 1).saturating_sub(self.scratch.len()).min(at - start);
        self.scratch.extend_from_slice(&bytes[start..start + room]);
        Ok(at)
    }

    #[inline]
    pub(super) fn number_end(
        &mut self,
        digits: Digits,
        text: &[u8],
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<(), Malformed> {
        if !digits.may_end() {
            return self.fail();
        }
        if shape.node(self.place).slot.is_none() {
            self.value_end(shape, slots);
            return Ok(());
        }
        let value = if self.scratch.is_empty() {
            slots::number(text)
        } else {
            self.scratch.extend_from_slice(&text[..text.len().min(NUMBER)]);
            slots::number(&self.scratch)
        };
        let known = self.scratch.len() <= NUMBER && text.len() <= NUMBER;
        self.scalar(if known { value } else { Value::Float(f64::NAN) }, shape, slots);
        Ok(())
    }
}
