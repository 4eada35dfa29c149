//! What is wrong with a deck, so that its author can mend it.

use std::fmt;

/// One wrong cell, row or header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeckProblem {
    /// Counted from 1, the header included; a row in quotes over several lines counts where it begins.
    pub line: u32,
    pub column: Option<&'static str>,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for DeckProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "line {}, {column}: {}", self.line, self.message),
            None => write!(f, "line {}: {}", self.line, self.message),
        }
    }
}

/// Everything that is wrong with a deck: the first 100 in full, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeckProblems {
    pub first: Vec<DeckProblem>,
    pub total: usize,
}

impl DeckProblems {
    pub const FIRST_MAX: usize = 100;

    pub(super) fn add(&mut self, line: u32, column: Option<&'static str>, message: String) {
        self.total += 1;
        if self.first.len() < Self::FIRST_MAX {
            self.first.push(DeckProblem { line, column, message });
        }
    }
}

impl fmt::Display for DeckProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.first {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{} problems in all", self.total)
    }
}

impl std::error::Error for DeckProblems {}
