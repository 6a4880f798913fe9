//! Quoted text: Go's escapes in `"…"` and `'…'`, none in `` `…` ``.
//!
//! An escape such as `\xff` can make a text that is not UTF-8. No series has one, but errors show it, so each byte that
//! belongs to no character is kept as two noncharacters, which Unicode sets aside for such internal use: U+FDD0 plus its
//! upper four bits, U+FDE0 plus its lower four.

const UPPER: u32 = 0xfdd0;
const LOWER: u32 = 0xfde0;

/// The length of the string literal a text starts with; fails where [`unquote`] would.
pub(super) fn length(text: &str) -> Result<usize, String> {
    let mut chars = text.chars();
    let quote = chars.next().ok_or("unterminated quoted string")?;
    let raw = quote == '`';
    while let Some(c) = chars.next() {
        match c {
            _ if c == quote => return Ok(text.len() - chars.as_str().len()),
            '\\' if !raw => chars = escape(chars.as_str(), quote)?.1.chars(),
            '\n' if !raw => break,
            _ => {}
        }
    }
    Err(if raw { "unterminated raw string" } else { "unterminated quoted string" }.to_owned())
}

/// The text a string literal stands for.
pub(crate) fn unquote(literal: &str) -> Result<String, String> {
    let quote = literal.chars().next().ok_or("empty string literal")?;
    let inner = &literal[1..literal.len() - 1];
    if quote == '`' || !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    // Bytes, because `\xc3\xa4` is two escapes and one character.
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(start) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        let (meaning, after) = escape(&rest[start + 1..], quote)?;
        match meaning {
            Escape::Byte(byte) => bytes.push(byte),
            Escape::Character(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(keep_stray_bytes(&bytes))
}

fn keep_stray_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let nibbles = [UPPER + u32::from(byte >> 4), LOWER + u32::from(byte & 15)];
            text.extend(nibbles.into_iter().filter_map(char::from_u32));
        }
    }
    text
}

/// The stray byte a text starts with.
fn stray_byte(text: &str) -> Option<u8> {
    let mut chars = text.chars().map(u32::from);
    let (upper, lower) = (chars.next()?.checked_sub(UPPER)?, chars.next()?.checked_sub(LOWER)?);
    (upper < 16 && lower < 16).then_some((upper << 4 | lower) as u8)
}

/// Whether a text that a query spells out is UTF-8; names of labels must be.
pub fn is_utf8(text: &str) -> bool {
    !text.char_indices().any(|(at, _)| stray_byte(&text[at..]).is_some())
}

/// What an escape stands for.
enum Escape {
    Byte(u8),
    Character(char),
}

/// Reads what follows a backslash: what it means, and what follows that.
fn escape(rest: &str, quote: char) -> Result<(Escape, &str), String> {
    let mut chars = rest.chars();
    let c = chars.next().ok_or("escape sequence not terminated")?;
    let after = chars.as_str();
    let simple = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' | '\'' if c == quote => c as u8,
        '0'..='7' => return code(rest, 3, 8),
        'x' => return code(after, 2, 16),
        'u' => return code(after, 4, 16),
        'U' => return code(after, 8, 16),
        _ => return Err(format!("unknown escape sequence {}", code_point(c))),
    };
    Ok((Escape::Byte(simple), after))
}

/// Reads a number of `count` digits: a byte where these are 2 or 3, else a character.
fn code(rest: &str, count: usize, base: u32) -> Result<(Escape, &str), String> {
    let mut chars = rest.chars();
    let mut value = 0_u32; // eight hexadecimal digits fit
    for _ in 0..count {
        let c = chars.next().ok_or("escape sequence not terminated")?;
        let digit =
            c.to_digit(base).ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
        value = value * base + digit;
    }
    let escape = match count {
        0..=3 => u8::try_from(value).ok().map(Escape::Byte),
        _ => char::from_u32(value).map(Escape::Character),
    };
    let escape = escape.ok_or("escape sequence is an invalid Unicode code point")?;
    Ok((escape, chars.as_str()))
}

/// A character as errors about escapes show it: `U+0063 'c'`.
fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", u32::from(c));
    if is_printable(c) { format!("{number} '{c}'") } else { number }
}

/// A literal for a text, in double quotes, with Go's escapes; also how errors show a text.
pub fn quote(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match stray_byte(rest) {
            Some(byte) => {
                literal.push_str(&format!("\\x{byte:02x}"));
                length *= 2;
            }
            None => push_escaped(&mut literal, c, '"'),
        }
        rest = &rest[length..];
    }
    literal.push('"');
    literal
}

/// A character between single quotes, with Go's escapes.
pub(crate) fn quote_char(c: char) -> String {
    let mut literal = String::from("'");
    push_escaped(&mut literal, c, '\'');
    literal.push('\'');
    literal
}

/// Writes a character as Go does between such quotes.
fn push_escaped(literal: &mut String, c: char, quote: char) {
    match c {
        '\\' => literal.push_str("\\\\"),
        _ if c == quote => literal.extend(['\\', c]),
        _ if is_printable(c) => literal.push(c),
        '\u{7}' => literal.push_str("\\a"),
        '\u{8}' => literal.push_str("\\b"),
        '\u{c}' => literal.push_str("\\f"),
        '\n' => literal.push_str("\\n"),
        '\r' => literal.push_str("\\r"),
        '\t' => literal.push_str("\\t"),
        '\u{b}' => literal.push_str("\\v"),
        '\0'..='\u{7f}' => literal.push_str(&format!("\\x{:02x}", u32::from(c))),
        '\u{80}'..='\u{ffff}' => literal.push_str(&format!("\\u{:04x}", u32::from(c))),
        _ => literal.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

/// Whether a character is a letter, mark, number, punctuation, symbol or the plain blank.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library knows, and says it by escaping the others. Behind a letter it leaves marks as they are.
    let mut behind_letter = String::from("a");
    behind_letter.push(c);
    behind_letter.escape_debug().nth(1) == Some(c)
}
