//! Counts in sentences.

/// "1 batch", "2 batches"
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
