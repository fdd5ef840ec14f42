//! Words, signs and quoted texts of a query.

/// The smallest part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Sign(&'static str),
    Text(String),
}

impl Token {
    pub(super) fn word(word: &str) -> Self {
        Self::Word(word.to_owned())
    }
}

/// Longer ones first, so that none is taken for its beginning.
const SIGNS: [&str; 10] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", "{", "}"];

/// The tokens of a query, or what is wrong with it.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (value, after) = quoted(&rest[1..])?;
            found.push(Token::Text(value));
            rest = after;
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            found.push(Token::word(&rest[..end]));
            rest = &rest[end..];
        } else {
            return Err(format!("`{first}` has no meaning here"));
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

/// A text up to its closing quote, with its escapes undone, and what comes after it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('\'' | '\\'))) => value.push(escaped),
                other => {
                    return Err(format!("`\\{}` is no escape", other.map_or(String::new(), |(_, c)| c.to_string())));
                }
            },
            c => value.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}
