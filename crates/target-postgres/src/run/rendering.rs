//! From the server's rows to lines of JSON.

use std::sync::Arc;

use domain::execution::Column;
use tokio_postgres::types::Type;
use tokio_postgres::{SimpleColumn, SimpleQueryRow};

use super::describe::Described;
use super::errors::Broken;
use crate::value::{Shape, append_json};

/// What has to be known of one answer to write its rows.
#[derive(Debug, Default)]
pub(crate) struct Rendering {
    shapes: Vec<Arc<Shape>>,
}

impl Rendering {
    /// Takes note of the columns as they come; those of the prepared statement say what types they have. A rule
    /// can answer with other columns than the statement's, and their values are shown as text.
    pub(crate) fn columns(&mut self, found: &[SimpleColumn], prepared: &[Described]) -> Vec<Column> {
        let same =
            found.len() == prepared.len() && found.iter().zip(prepared).all(|(f, p)| f.name() == p.name);
        if same {
            self.shapes = prepared.iter().map(|p| p.shape.clone()).collect();
            return prepared.iter().map(column).collect();
        }
        let text = Arc::new(Shape::Text);
        self.shapes = vec![text; found.len()];
        let text = Type::TEXT.name();
        found.iter().map(|f| Column { name: f.name().to_owned(), type_name: text.to_owned() }).collect()
    }

    /// Appends a row as one line.
    pub(crate) fn row(&self, out: &mut Vec<u8>, row: &SimpleQueryRow) -> Result<(), Broken> {
        out.push(b'[');
        for at in 0..row.len() {
            if at > 0 {
                out.push(b',');
            }
            match (row.try_get(at).map_err(|_| Broken::NotUtf8)?, self.shapes.get(at)) {
                (Some(text), Some(shape)) => append_json(out, shape, text),
                (Some(text), None) => append_json(out, &Shape::Text, text),
                (None, _) => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"]\n");
        Ok(())
    }
}

/// A column as a report shows it.
pub(crate) fn column(prepared: &Described) -> Column {
    Column { name: prepared.name.clone(), type_name: prepared.type_name.clone() }
}

/// The bytes of a row's values as the server wrote them.
pub(crate) fn raw_length(row: &SimpleQueryRow) -> Result<u64, Broken> {
    let mut length = 0;
    for at in 0..row.len() {
        length += row.try_get(at).map_err(|_| Broken::NotUtf8)?.map_or(0, str::len);
    }
    Ok(u64::try_from(length).unwrap_or(u64::MAX))
}
