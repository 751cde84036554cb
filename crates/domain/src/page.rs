//! Keyset pagination: a page starts behind a position, never at an offset.

/// How many items a client may ask for at once.
pub const MAX_PAGE_SIZE: u32 = 200;
/// How many it gets when it does not say.
pub const DEFAULT_PAGE_SIZE: u32 = 50;

/// What part of a list is wanted. The position is opaque to the rules; the store made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageRequest {
    /// 1 to [`MAX_PAGE_SIZE`].
    pub limit: u32,
    pub after: Option<i64>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_PAGE_SIZE, after: None }
    }
}

/// A part of a list, newest first, and where the next part starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<i64>,
}
