//! The query string of an operator's request, where a slip must not pass as a wish.
//!
//! It refuses to know which names mean what.

use std::borrow::Cow;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use tandem_wire::form::{self, Form};

use super::problem::Problem;

pub(super) struct Query(Form);

impl Query {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self(form::parse(request.query_string().as_bytes()))
    }

    /// The same, if it holds no other names than these.
    pub(super) fn only(request: &HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let query = Self::of(request);
        let unknown_opt = query.0.iter().map(|(name, _)| name).find(|name| !known.contains(&name.as_ref()));
        if let Some(unknown) = unknown_opt {
            let known = known.join(", ");
            return Err(unfit(format!("`{unknown}` is no parameter of this path; there are {known}")));
        }
        Ok(query)
    }

    /// The value of `name`, if it is there. Which of two would be meant cannot be known.
    pub(super) fn get(&self, name: &str) -> Result<Option<Cow<'_, str>>, Problem> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            // No text of ours has it, and PostgreSQL refuses it.
            (Some(value), None) if value.contains('\0') => {
                Err(unfit(format!("`{name}` contains a zero character")))
            }
            (value_opt, None) => Ok(value_opt),
            _ => Err(unfit(format!("`{name}` is given more than once"))),
        }
    }

    /// The same, read as what it is meant to be: `what` says that to whoever gets it wrong.
    pub(super) fn read<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let read = self.get(name)?.map(|text| text.parse()).transpose();
        read.map_err(|_| unfit(format!("`{name}` must be {what}")))
    }
}

/// What can be read, but not done: 422, as the replaced systems answer too.
pub(super) fn unfit(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}
