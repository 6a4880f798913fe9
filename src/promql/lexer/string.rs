//! Quoted text: Go's escapes in `"…"` and `'…'`, none in `` `…` ``.
//!
//! An escape such as `\xff` can make a text that is not UTF-8. No series has one, but errors show it, so each byte that
//! belongs to no character is kept as two noncharacters, which Unicode sets aside for such internal use: U+FDD0 plus its
//! upper four bits, U+FDE0 plus its lower four.

const UPPER: u32 = 0xfdd0;
const LOWER: u32 = 0xfde0;

/// The length of the string literal a text starts with.
pub(super) fn length(text: &str) -> Result<usize, &'static str> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next().ok_or("unterminated quoted string")?;
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok(at + 1),
            '\\' if quote != '`' => {
                chars.next();
            }
            '\n' if quote != '`' => return Err("unterminated quoted string"),
            _ => {}
        }
    }
    Err(if quote == '`' { "unterminated raw string" } else { "unterminated quoted string" })
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
    while let Some(escape) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..escape]);
        rest = unescape(&rest[escape + 1..], quote, &mut bytes)?;
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

/// Reads what follows a backslash, and returns what follows that.
fn unescape<'a>(rest: &'a str, quote: char, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let c = rest.chars().next().ok_or("escape sequence not terminated")?;
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
        '0'..='7' => return code(rest, 3, 8, bytes),
        'x' => return code(&rest[1..], 2, 16, bytes),
        'u' => return code(&rest[1..], 4, 16, bytes),
        'U' => return code(&rest[1..], 8, 16, bytes),
        _ => return Err(format!("unknown escape sequence {c:?}")),
    };
    bytes.push(simple);
    Ok(&rest[1..])
}

/// Reads a number of `count` digits: a byte where these are 2 or 3, else a character.
fn code<'a>(rest: &'a str, count: usize, base: u32, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let digits = rest.get(..count).ok_or("escape sequence not terminated")?;
    if let Some(bad) = digits.chars().find(|c| !c.is_digit(base)) {
        return Err(format!("illegal character {bad:?} in escape sequence"));
    }
    let value = u32::from_str_radix(digits, base).map_err(|_| "escape sequence is out of range")?;
    let invalid = || "escape sequence is an invalid Unicode code point".to_owned();
    if count <= 3 {
        bytes.push(u8::try_from(value).map_err(|_| invalid())?);
    } else {
        let c = char::from_u32(value).ok_or_else(invalid)?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(&rest[count..])
}

/// A literal for a text, in double quotes; also how errors show a text.
pub fn quote(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match (c, stray_byte(rest)) {
            (_, Some(byte)) => {
                literal.push_str(&format!("\\x{byte:02x}"));
                length *= 2;
            }
            ('"' | '\\', _) => literal.extend(['\\', c]),
            ('\n', _) => literal.push_str("\\n"),
            ('\r', _) => literal.push_str("\\r"),
            ('\t', _) => literal.push_str("\\t"),
            _ if c.is_ascii_control() => literal.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => literal.push(c),
        }
        rest = &rest[length..];
    }
    literal.push('"');
    literal
}
