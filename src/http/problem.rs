//! Problem details (RFC 9457): the one shape in which this server refuses.
//!
//! It refuses to know who refuses, and why.

use std::borrow::Cow;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError, Route, web};
use serde::Serialize;

/// A refusal. Its `type` is `about:blank`, which RFC 9457 section 4.2.1 lets us leave out: the status says it.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    errors: Vec<FieldProblem>,
}

/// What is wrong with one field of a document that was sent: RFC 9457's own example of more than one problem.
#[derive(Debug, Serialize)]
pub(super) struct FieldProblem {
    /// Which field, as a JSON pointer (RFC 6901); empty for the whole document.
    pub(super) pointer: String,
    pub(super) detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new(), errors: Vec::new() }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    pub(super) fn with_errors(self, errors: Vec<FieldProblem>) -> Self {
        Self { errors, ..self }
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path answers to {allowed} only"))
            .with_header(ALLOW, allowed)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        response.content_type("application/problem+json").json(Document {
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        })
    }
}

impl Responder for Problem {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path")
}

/// The answer of a path to methods that it does not know.
pub(super) fn only(allowed: &'static str) -> Route {
    web::to(move || async move { Problem::method_not_allowed(allowed) })
}
