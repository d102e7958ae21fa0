//! Where sealed values lie, so that they can be sealed again under another key without asking what they say.

/// A column of sealed values in a table whose key is the tenant, and a second column where one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedColumn {
    /// The table.
    pub table: &'static str,
    /// First part of the context that its values are sealed for; the parts of the row's key follow.
    pub label: &'static str,
    /// The key's column behind `tenant_id`; none in the table of tenants.
    pub key: Option<&'static str>,
    /// The column of the sealed values.
    pub column: &'static str,
}

impl SealedColumn {
    /// What a value in the row of this key is sealed for.
    pub fn context<'a>(&self, tenant: &'a str, key: &'a str) -> Vec<&'a str> {
        match self.key {
            Some(_) => vec![self.label, tenant, key],
            None => vec![self.label, tenant],
        }
    }

    /// The key's second column, for statements; the first one again where there is none.
    pub fn key_column(&self) -> &'static str {
        self.key.unwrap_or("tenant_id")
    }
}
