//! What a prompt shows (PROTOCOL 5).

use serde::{Deserialize, Serialize};

use crate::field::Reader;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name {
            $(
                $(#[$vdoc])*
                #[serde(rename = $text)]
                #[cfg_attr(feature = "openapi", schema(rename = $text))]
                $variant
            ),+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value as it travels.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::display::UnknownValue;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(crate::display::UnknownValue($rule)) }
            }
        }
    };
}
pub(crate) use wire_enum;

/// A text that is none of an enumeration's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownValue(pub(crate) &'static str);

wire_enum!(
    /// How a value is meant to be shown.
    DataType,
    "must be a known data type",
    /// US dollars.
    CurrencyUsd = "CURRENCY_USD",
    /// Any currency.
    CurrencyGeneric = "CURRENCY_GENERIC",
    /// A person or company.
    PartyName = "PARTY_NAME",
    /// An e-mail address.
    Email = "EMAIL",
    /// A phone number, partly hidden.
    PhoneMasked = "PHONE_MASKED",
    /// An identity document's number, partly hidden.
    IdentityDocumentMasked = "IDENTITY_DOCUMENT_MASKED",
    /// A postal address.
    Address = "ADDRESS",
    /// A reference to a thing of the application.
    EntityRef = "ENTITY_REF",
    /// An IBAN, partly hidden.
    IbanMasked = "IBAN_MASKED",
    /// A local date and time.
    DatetimeLocal = "DATETIME_LOCAL",
    /// A date.
    Date = "DATE",
    /// A percentage.
    Percentage = "PERCENTAGE",
    /// A quantity.
    Quantity = "QUANTITY",
    /// A web address.
    Url = "URL",
    /// Yes or no.
    Boolean = "BOOLEAN",
    /// Text as it is.
    RawText = "RAW_TEXT",
    /// JSON as it is.
    JsonBlob = "JSON_BLOB",
    /// A warning above the fields.
    WarningBanner = "WARNING_BANNER",
);

/// One line of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisplayField {
    /// Stable name, 1 to 64 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub key: String,
    /// Label, 1 to 128 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 128))]
    pub title: String,
    /// Value, at most 4,096 characters.
    #[cfg_attr(feature = "openapi", schema(max_length = 4096))]
    pub value: String,
    /// How to show it.
    pub data_type: DataType,
}

/// What a prompt shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Display {
    /// Headline, 1 to 128 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 128))]
    pub title: String,
    /// Second line, at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<String>,
    /// The lines, in order.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub fields: Vec<DisplayField>,
}

/// More lines than this nobody reads.
pub const MAX_FIELDS: usize = 64;

impl Display {
    /// Reads a display out of a body; broken rules are recorded in `reader`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            title: reader.text("title", 1..=128),
            subtitle: reader.optional_text("subtitle", 0..=200),
            fields: reader.optional_objects("fields", 0..=MAX_FIELDS, DisplayField::read).unwrap_or_default(),
        }
    }
}

impl DisplayField {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            key: reader.text("key", 1..=64),
            title: reader.text("title", 1..=128),
            value: reader.text("value", 0..=4096),
            data_type: reader.parsed("data_type").unwrap_or(DataType::RawText),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_types_keep_their_names() {
        assert_eq!(DataType::ALL.len(), 18);
        for kind in DataType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("currency_usd".parse::<DataType>().is_err());
    }

    #[test]
    fn unknown_data_types_are_named_by_their_path() {
        let body = serde_json::json!({"title": "t", "fields": [{"key": "k", "title": "t", "value": "v", "data_type": "NOPE"}]});
        let mut reader = Reader::object(&body);
        let _ = Display::read(&mut reader);
        assert_eq!(reader.finish().unwrap_err()[0].field, "fields[0].data_type");
    }
}
