//! A small HTTP client: one call, one answer with its whole body.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// Calls one listener.
#[derive(Clone)]
pub(crate) struct Client {
    pool: Pool<HttpConnector, Body>,
    pub(crate) address: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn to(address: &str) -> Self {
        Self { pool: Pool::builder(TokioExecutor::new()).build_http(), address: address.to_owned() }
    }

    /// `None` when the connection broke.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.pool.request(request.body(body.into()).expect("a request")).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    /// Sends JSON, with more headers.
    pub(crate) async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(method, path, &headers, body.to_string()).await
    }

    pub(crate) async fn create(&self, body: &Value) -> Answer {
        self.json("POST", "/api/v1/projects", &[], body).await
    }

    /// Creates a project with this slug; gives the path of the item.
    pub(crate) async fn created(&self, slug: &str) -> String {
        let answer = self.create(&json!({"name": format!("Project {slug}"), "slug": slug})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    }

    pub(crate) async fn patch(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.json("PATCH", path, headers, body).await
    }

    pub(crate) async fn delete(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("DELETE", path, headers, Body::empty()).await
    }
}

impl Answer {
    /// The only value of a header; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} is there once");
        values.first().map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    /// Asserts a problem document of this status and slug; gives it.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        let problem = self.value();
        assert_eq!(problem["type"], format!("urn:vestibule-upstream:problem:{slug}"));
        assert_eq!(problem["status"], status);
        let trace =
            problem["instance"].as_str().and_then(|instance| instance.strip_prefix("urn:trace:")).expect("a trace");
        assert_eq!(trace.len(), 32);
        problem
    }

    /// The pointers of a 422.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_array().expect("errors");
        errors.iter().map(|error| error["pointer"].as_str().expect("a pointer").to_owned()).collect()
    }

    /// The ids of a list, in their order.
    pub(crate) fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let list = self.value();
        list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["id"].as_str().expect("an id").to_owned())
            .collect()
    }
}
