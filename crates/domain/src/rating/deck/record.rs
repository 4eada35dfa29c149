//! Records and fields of comma-separated text, RFC 4180, with line numbers and limits.

use std::borrow::Cow;

pub(super) const FIELDS_MAX: usize = 64;
pub(super) const FIELD_LENGTH_MAX: usize = 1024;

/// A record and the line on which it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub line: u32,
    pub fields: Vec<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A quote that is not closed, or text around a quoted field.
    Quotes,
    TooManyFields,
    FieldTooLong,
}

impl Malformed {
    pub fn message(self) -> String {
        match self {
            Malformed::Quotes => {
                "expected a quoted field to end with a quote and a separator".into()
            }
            Malformed::TooManyFields => format!("expected at most {FIELDS_MAX} fields"),
            Malformed::FieldTooLong => {
                format!("expected fields of at most {FIELD_LENGTH_MAX} octets")
            }
        }
    }
}

/// Goes over the text; empty lines are passed over. After an error it goes on with the next line.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    rest: &'a str,
    separator: char,
    line: u32,
}

impl<'a> Records<'a> {
    pub fn new(text: &'a str, separator: char) -> Records<'a> {
        Records { rest: text, separator, line: 1 }
    }

    fn record(&mut self) -> Result<Record<'a>, Malformed> {
        let mut record = Record { line: self.line, fields: Vec::with_capacity(16) };
        loop {
            if record.fields.len() == FIELDS_MAX {
                return Err(Malformed::TooManyFields);
            }
            let field = match self.rest.strip_prefix('"') {
                Some(quoted) => self.quoted(quoted)?,
                None => self.plain(),
            };
            if field.len() > FIELD_LENGTH_MAX {
                return Err(Malformed::FieldTooLong);
            }
            record.fields.push(field);
            match self.rest.strip_prefix(self.separator) {
                Some(rest) => self.rest = rest,
                None => return self.end_of_line().then_some(record).ok_or(Malformed::Quotes),
            }
        }
    }

    fn plain(&mut self) -> Cow<'a, str> {
        let ends = |c: char| c == self.separator || c == '\n';
        let (field, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        Cow::Borrowed(field.trim())
    }

    fn quoted(&mut self, mut rest: &'a str) -> Result<Cow<'a, str>, Malformed> {
        let mut field = String::new();
        loop {
            let (part, after) = rest.split_once('"').ok_or(Malformed::Quotes)?;
            field.push_str(part);
            if field.len() > FIELD_LENGTH_MAX {
                return Err(Malformed::FieldTooLong);
            }
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    rest = after;
                }
                None => {
                    self.rest = after;
                    self.line += field.matches('\n').count() as u32;
                    return Ok(Cow::Owned(field));
                }
            }
        }
    }

    /// False when something else stands there.
    fn end_of_line(&mut self) -> bool {
        let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
        if rest.is_empty() {
            self.rest = rest;
            return true;
        }
        let Some(rest) = rest.strip_prefix('\n') else { return false };
        self.rest = rest;
        self.line += 1;
        true
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, (u32, Malformed)>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() && self.end_of_line() {}
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        Some(self.record().map_err(|malformed| {
            self.skip_line();
            (line, malformed)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_separators_quotes_and_line_ends() {
        let text = "a,\"b,\"\"c\"\"\nd\",\r\n\n x ,\"\",z";
        let records: Vec<_> = Records::new(text, ',').map(|r| r.expect("well formed")).collect();
        let fields = |n: usize| records[n].fields.iter().map(|f| f.to_string()).collect::<Vec<_>>();
        assert_eq!(fields(0), ["a", "b,\"c\"\nd", ""]);
        assert_eq!(fields(1), ["x", "", "z"]);
        assert_eq!((records[0].line, records[1].line, records.len()), (1, 4, 2));
    }

    #[test]
    fn a_malformed_line_is_reported_and_the_next_one_read() {
        let text = "\"a\"b,c\nd,e\n\"open";
        let records: Vec<_> = Records::new(text, ',').collect();
        assert_eq!(records[0], Err((1, Malformed::Quotes)));
        assert_eq!(records[1].as_ref().map(|r| r.fields.len()), Ok(2));
        assert_eq!(records[2], Err((3, Malformed::Quotes)));
        assert_eq!(records.len(), 3);
    }
}
