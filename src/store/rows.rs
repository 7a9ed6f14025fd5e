//! Many rows at once, in either dialect: they travel as one JSON document, and one statement puts them in.
//!
//! It refuses to know which tables there are. A table's columns are told once, and the statement is made from them.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::database::{Connection, execute};

/// A table, as far as rows are put into it.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    pub(super) again: Again,
}

/// What the row has in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Id,
    Stamp,
    Text,
    Integer,
    Boolean,
    Real,
    Date,
}

/// What becomes of a row that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It stays.
    Stays,
    /// It is replaced, by its key of so many columns, the first ones.
    Replaced { key: usize },
}

/// One row: a cell for each of the table's columns.
pub(super) type Row = Vec<Value>;

impl Table {
    /// Puts rows in. The same row must not be among them twice.
    pub(super) async fn put(&self, connection: &mut Connection<'_>, rows: Vec<Row>) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let sql = match connection {
            Connection::Sqlite(_) => self.sqlite(),
            Connection::Postgres(_) => self.postgres(),
        };
        let rows = Value::from_iter(rows).to_string();
        // Made of this program's own names alone.
        execute!(connection, AssertSqlSafe(sql), rows).map(drop)
    }

    fn sqlite(&self) -> String {
        let cells = (0..self.columns.len()).map(|n| format!("value ->> {n}"));
        // Without WHERE, SQLite would take ON CONFLICT for the condition of a join.
        self.insert(&cells.collect::<Vec<_>>().join(", "), "json_each($1) WHERE true")
    }

    fn postgres(&self) -> String {
        let cells = self.columns.iter().enumerate().map(|(n, (_, kind))| match kind {
            Kind::Id => format!("(value ->> {n})::uuid"),
            Kind::Stamp => {
                format!("timestamptz 'epoch' + (value ->> {n})::bigint * interval '1 microsecond'")
            }
            Kind::Text => format!("value ->> {n}"),
            Kind::Integer => format!("(value ->> {n})::bigint"),
            Kind::Boolean => format!("(value ->> {n})::boolean"),
            Kind::Real => format!("(value ->> {n})::double precision"),
            Kind::Date => format!("(value ->> {n})::date"),
        });
        self.insert(&cells.collect::<Vec<_>>().join(", "), "jsonb_array_elements($1::jsonb)")
    }

    fn insert(&self, cells: &str, rows: &str) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let mut sql = format!("INSERT INTO {} ({}) SELECT {cells} FROM {rows} ", self.name, names.join(", "));
        match self.again {
            Again::Stays => sql.push_str("ON CONFLICT DO NOTHING"),
            Again::Replaced { key } => {
                let (key, others) = names.split_at(key);
                let set: Vec<_> = others.iter().map(|name| format!("{name} = excluded.{name}")).collect();
                write!(sql, "ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
                    .expect("a String takes whatever is written");
            }
        }
        sql
    }
}

// ------------------------------------------------------------ cells

pub(super) fn id(id: Uuid) -> Value {
    id.to_string().into()
}

pub(super) fn stamp(at: Timestamp) -> Value {
    at.as_microsecond().into()
}

pub(super) fn date(date: Date) -> Value {
    date.to_string().into()
}

/// PostgreSQL has no text with a zero character in it.
pub(super) fn text(text: &str) -> Value {
    text.replace('\0', "\u{fffd}").into()
}

/// Columns count to 2^63 - 1; what is beyond is nonsense, and as good as that.
pub(super) fn integer(n: u64) -> Value {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table {
        name: "things",
        columns: &[("id", Kind::Id), ("at", Kind::Stamp), ("word", Kind::Text), ("is_good", Kind::Boolean)],
        again: Again::Replaced { key: 1 },
    };

    #[test]
    fn one_table_makes_a_statement_in_each_dialect() {
        assert_eq!(
            TABLE.sqlite(),
            "INSERT INTO things (id, at, word, is_good) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true \
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, word = excluded.word, is_good = excluded.is_good"
        );
        assert_eq!(
            Table { again: Again::Stays, ..TABLE }.postgres(),
            "INSERT INTO things (id, at, word, is_good) \
             SELECT (value ->> 0)::uuid, timestamptz 'epoch' + (value ->> 1)::bigint * interval '1 microsecond', \
             value ->> 2, (value ->> 3)::boolean FROM jsonb_array_elements($1::jsonb) ON CONFLICT DO NOTHING"
        );
    }
}
