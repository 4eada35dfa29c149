//! Tags, branches and Call-IDs that nobody can guess.

use std::hash::{DefaultHasher, Hasher};

/// Draws from a secret and a counter. Give each process, and each engine in it, a secret of its own.
#[derive(Clone, Debug)]
pub struct Tokens {
    secret: [u64; 2],
    count: u64,
}

impl Tokens {
    pub fn new(secret: [u64; 2]) -> Tokens {
        Tokens { secret, count: 0 }
    }

    pub fn draw(&mut self) -> u64 {
        self.count += 1;
        self.keyed(&self.count.to_le_bytes())
    }

    /// The same for the same octets.
    pub fn keyed(&self, octets: &[u8]) -> u64 {
        // SipHash with the secret in front: short, and not to be predicted without it.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.secret[0]);
        hasher.write_u64(self.secret[1]);
        hasher.write(octets);
        hasher.finish()
    }

    /// A fresh token in hexadecimal.
    pub fn token(&mut self) -> [u8; 16] {
        hex(self.draw())
    }
}

pub fn hex(value: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (index, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (60 - 4 * index) & 0xf) as usize];
    }
    text
}

pub fn from_hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter()
        .try_fold(0u64, |value, digit| Some(value << 4 | u64::from((*digit as char).to_digit(16)?)))
}
