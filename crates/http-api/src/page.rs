//! Lists in pages: ask again with `next_cursor` until there is none.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Problem;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items of one page, 1 to 1000; 100 when not given.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(100);
        if (1..=1000).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::invalid("limit: expected 1 to 1000"))
        }
    }

    /// Where the page begins.
    pub fn position(&self) -> Result<Option<i64>, Problem> {
        let parse = |cursor: &String| {
            cursor.parse().map_err(|_| Problem::invalid("cursor: not one of ours"))
        };
        self.cursor.as_ref().map(parse).transpose()
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page is followed by another when it is full.
    pub fn of(items: Vec<T>, limit: usize, last: Option<i64>) -> Page<T> {
        let is_full = items.len() >= limit;
        Page { items, next_cursor: last.filter(|_| is_full).map(|position| position.to_string()) }
    }
}
