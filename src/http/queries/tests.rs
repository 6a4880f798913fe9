//! The line, the list, and what is remembered.
