//! The language of `q`, in which files are searched for.
//!
//! `and` and `or` have the same rank and are taken from left to right, as the vendor documents; `not` takes the one term after it. A term
//! that this module does not know is refused: a query that is not understood finds nothing and does not find everything.

use super::refusal::Refusal;
use super::resource::read_time;

mod token;

use token::{Token, tokens};

/// How deep parentheses and `not` may be nested.
const MAX_DEPTH: usize = 64;

/// A condition on files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Query {
    And(Box<Query>, Box<Query>),
    Or(Box<Query>, Box<Query>),
    Not(Box<Query>),
    Term(Term),
}

/// A condition that has no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    InParents(String),
    Name(TextIs),
    MimeType(TextIs),
    Trashed(bool),
    Starred(bool),
    SharedWithMe(bool),
    Modified(Compare, u64),
    Created(Compare, u64),
    /// A property that the asking program alone sees, or one that all see.
    Has {
        is_private: bool,
        key: String,
        value: String,
    },
}

/// How a text is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextIs {
    Equal(String),
    Other(String),
    Containing(String),
}

/// How a time is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

impl Compare {
    pub(super) fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::GreaterOrEqual => left >= right,
            Self::Greater => left > right,
        }
    }
}

impl Query {
    /// Reads a query.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::invalid("q", format!("Invalid Value: {what}"));
        let tokens = tokens(text).map_err(|what| wrong(&what))?;
        let mut parser = Parser { tokens: &tokens };
        let query = parser.chain(0).map_err(|what| wrong(&what))?;
        match parser.tokens.first() {
            None => Ok(query),
            Some(token) => Err(wrong(&format!("{token:?} was not expected"))),
        }
    }

    /// Whether the condition holds, given which terms hold.
    pub(super) fn holds(&self, term: &impl Fn(&Term) -> bool) -> bool {
        match self {
            Self::And(left, right) => left.holds(term) && right.holds(term),
            Self::Or(left, right) => left.holds(term) || right.holds(term),
            Self::Not(inner) => !inner.holds(term),
            Self::Term(leaf) => term(leaf),
        }
    }

    /// Every term in it.
    pub(super) fn terms(&self) -> Vec<&Term> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => [left.terms(), right.terms()].concat(),
            Self::Not(inner) => inner.terms(),
            Self::Term(leaf) => vec![leaf],
        }
    }

    /// Whether parents are joined by `or`.
    pub(super) fn asks_for_one_of_several_parents(&self) -> bool {
        let parents = |query: &Self| query.terms().iter().any(|term| matches!(term, Term::InParents(_)));
        match self {
            Self::Or(left, right) => {
                (parents(left) && parents(right))
                    || left.asks_for_one_of_several_parents()
                    || right.asks_for_one_of_several_parents()
            }
            Self::And(left, right) => left.asks_for_one_of_several_parents() || right.asks_for_one_of_several_parents(),
            Self::Not(inner) => inner.asks_for_one_of_several_parents(),
            Self::Term(_) => false,
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Result<&'a Token, String> {
        let (first, rest) = self.tokens.split_first().ok_or("it ends too early")?;
        self.tokens = rest;
        Ok(first)
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let is_next = self.tokens.first() == Some(wanted);
        self.tokens = &self.tokens[usize::from(is_next)..];
        is_next
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), String> {
        if self.takes(wanted) { Ok(()) } else { Err(format!("{wanted:?} is missing")) }
    }

    fn chain(&mut self, depth: usize) -> Result<Query, String> {
        let mut left = self.factor(depth)?;
        loop {
            if self.takes(&Token::word("and")) {
                left = Query::And(Box::new(left), Box::new(self.factor(depth)?));
            } else if self.takes(&Token::word("or")) {
                left = Query::Or(Box::new(left), Box::new(self.factor(depth)?));
            } else {
                return Ok(left);
            }
        }
    }

    fn factor(&mut self, depth: usize) -> Result<Query, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        if self.takes(&Token::word("not")) {
            return Ok(Query::Not(Box::new(self.factor(depth + 1)?)));
        }
        if self.takes(&Token::Sign("(")) {
            let inner = self.chain(depth + 1)?;
            self.expect(&Token::Sign(")"))?;
            return Ok(inner);
        }
        self.term().map(Query::Term)
    }

    fn term(&mut self) -> Result<Term, String> {
        match self.next()? {
            Token::Text(value) => {
                self.expect(&Token::word("in"))?;
                // `owners`, `writers` and `readers` could stand here, too.
                self.expect(&Token::word("parents"))?;
                Ok(Term::InParents(value.clone()))
            }
            Token::Word(field) => match field.as_str() {
                "name" => Ok(Term::Name(self.text_is()?)),
                "mimeType" => Ok(Term::MimeType(self.text_is()?)),
                "trashed" => Ok(Term::Trashed(self.flag()?)),
                "starred" => Ok(Term::Starred(self.flag()?)),
                "sharedWithMe" => Ok(Term::SharedWithMe(self.is_shared()?)),
                "modifiedTime" => self.time().map(|(compare, ms)| Term::Modified(compare, ms)),
                "createdTime" => self.time().map(|(compare, ms)| Term::Created(compare, ms)),
                "properties" => self.has(false),
                "appProperties" => self.has(true),
                other => Err(format!("the term `{other}` is not known")),
            },
            Token::Sign(sign) => Err(format!("`{sign}` begins no term")),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(value) => Ok(value.clone()),
            other => Err(format!("{other:?} is no text in quotes")),
        }
    }

    fn text_is(&mut self) -> Result<TextIs, String> {
        let operator = self.next()?;
        let value = self.text()?;
        match operator {
            Token::Sign("=") => Ok(TextIs::Equal(value)),
            Token::Sign("!=") => Ok(TextIs::Other(value)),
            Token::Word(word) if word == "contains" => Ok(TextIs::Containing(value)),
            other => Err(format!("{other:?} compares no texts")),
        }
    }

    /// `= true`, `!= false` and so on: what the field has to be.
    fn flag(&mut self) -> Result<bool, String> {
        let is_equal = match self.next()? {
            Token::Sign("=") => true,
            Token::Sign("!=") => false,
            other => return Err(format!("{other:?} compares no flags")),
        };
        match self.next()? {
            Token::Word(word) if word == "true" => Ok(is_equal),
            Token::Word(word) if word == "false" => Ok(!is_equal),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }

    /// `sharedWithMe` may stand alone.
    fn is_shared(&mut self) -> Result<bool, String> {
        if matches!(self.tokens.first(), Some(Token::Sign("=" | "!="))) { self.flag() } else { Ok(true) }
    }

    fn time(&mut self) -> Result<(Compare, u64), String> {
        let compare = match self.next()? {
            Token::Sign("<") => Compare::Less,
            Token::Sign("<=") => Compare::LessOrEqual,
            Token::Sign("=") => Compare::Equal,
            Token::Sign("!=") => Compare::NotEqual,
            Token::Sign(">=") => Compare::GreaterOrEqual,
            Token::Sign(">") => Compare::Greater,
            other => return Err(format!("{other:?} compares no times")),
        };
        let text = self.text()?;
        Ok((compare, read_time(&text).ok_or_else(|| format!("`{text}` is no time"))?))
    }

    /// `has { key='…' and value='…' }`.
    fn has(&mut self, is_private: bool) -> Result<Term, String> {
        self.expect(&Token::word("has"))?;
        self.expect(&Token::Sign("{"))?;
        self.expect(&Token::word("key"))?;
        self.expect(&Token::Sign("="))?;
        let key = self.text()?;
        self.expect(&Token::word("and"))?;
        self.expect(&Token::word("value"))?;
        self.expect(&Token::Sign("="))?;
        let value = self.text()?;
        self.expect(&Token::Sign("}"))?;
        Ok(Term::Has { is_private, key, value })
    }
}

#[cfg(test)]
mod tests;
