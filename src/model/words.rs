//! Patterns that stand for a list of words: `a|b|c`, `^up$`, `node_(cpu|disk)_total`.
//!
//! Dashboards write the chosen values of a variable like this, at times thousands of them. A list of words is looked up
//! instead of matched, and takes little more memory than its text.

/// Words, sorted, each once.
#[derive(Debug)]
pub(super) struct Words {
    text: String,
    /// Where in the text each begins and ends.
    places: Vec<(u32, u32)>,
}

/// The longest text of all words: what stands before and behind a group is copied to each of its words.
const TEXT_BYTES_MAX: usize = 4 << 20;

impl Words {
    /// The words that a pattern stands for when it is anchored; `None` where it has other meanings in it.
    pub(super) fn of_pattern(pattern: &str) -> Option<Self> {
        let parts = Parts::read(pattern)?;
        let around = parts.before.len() + parts.behind.len();
        let size = parts.words.iter().map(|word| word.len() + around).sum::<usize>();
        if size > TEXT_BYTES_MAX {
            return None;
        }
        let mut text = String::with_capacity(size);
        let mut places: Vec<_> = parts
            .words
            .iter()
            .map(|word| {
                let start = text.len() as u32;
                [&parts.before, word, &parts.behind].into_iter().for_each(|part| text.push_str(part));
                (start, text.len() as u32)
            })
            .collect();
        places.sort_unstable_by_key(|place| at(&text, *place));
        places.dedup_by_key(|place| at(&text, *place));
        Some(Self { text, places })
    }

    /// Whether this is one of them.
    pub(super) fn contains(&self, word: &str) -> bool {
        self.places.binary_search_by_key(&word, |place| at(&self.text, *place)).is_ok()
    }

    /// All of them, sorted.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| at(&self.text, *place))
    }
}

fn at(text: &str, (start, end): (u32, u32)) -> &str {
    &text[start as usize..end as usize]
}

/// `before(word|word)behind`
struct Parts {
    before: String,
    words: Vec<String>,
    behind: String,
}

impl Parts {
    fn read(pattern: &str) -> Option<Self> {
        // The pattern is anchored anyway.
        let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
        if let Some(text) = rest.strip_suffix('$').filter(|text| !ends_in_backslash(text)) {
            rest = text;
        }
        let mut before = String::new();
        let mut words = vec![literal(&mut rest)?];
        let grouped = rest.strip_prefix("(?:").or_else(|| rest.strip_prefix('('));
        if let Some(inside) = grouped {
            rest = inside;
            before = words.pop()?;
            words.push(literal(&mut rest)?);
        }
        while let Some(next) = rest.strip_prefix('|') {
            rest = next;
            words.push(literal(&mut rest)?);
        }
        let mut behind = String::new();
        if grouped.is_some() {
            rest = rest.strip_prefix(')')?;
            behind = literal(&mut rest)?;
        }
        rest.is_empty().then_some(Self { before, words, behind })
    }
}

/// Whether the character behind a text is escaped.
fn ends_in_backslash(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Takes the characters that mean themselves, up to `|`, `(`, `)` or the end.
fn literal(rest: &mut &str) -> Option<String> {
    let mut literal = String::new();
    let mut chars = rest.chars();
    loop {
        *rest = chars.as_str();
        match chars.next() {
            None | Some('|' | '(' | ')') => return Some(literal),
            Some('\\') => literal.push(chars.next().filter(char::is_ascii_punctuation)?),
            Some('.' | '+' | '*' | '?' | '[' | ']' | '{' | '}' | '^' | '$') => return None,
            Some(c) => literal.push(c),
        }
    }
}
