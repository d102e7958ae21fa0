//! What is bound to a placeholder.

/// A value. Each kind knows its type even where it is missing: PostgreSQL wants to know the type of a NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Whole(Option<i64>),
    /// A text.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($kind:ident: $($from:ty => $convert:expr),+;)+) => {
        $($(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    let convert: fn($from) -> _ = $convert;
                    Self::$kind(Some(convert(value)))
                }
            }
            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Self {
                    let convert: fn($from) -> _ = $convert;
                    Self::$kind(value.map(convert))
                }
            }
        )+)+
    };
}

values! {
    Whole: i64 => |value| value, u32 => i64::from, u16 => i64::from;
    Text: &str => str::to_owned, &String => String::clone, String => |value| value;
    Bytes: &[u8] => <[u8]>::to_vec, &Vec<u8> => Vec::clone, Vec<u8> => |value| value;
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        Self::Text(value.clone())
    }
}
