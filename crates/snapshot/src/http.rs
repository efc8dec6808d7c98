//! One way to speak HTTP, to etcd (gRPC) and to an object store: hyper, with the TLS settings of all our programs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::client as objects;
use object_store::client::{
    HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
};
use rustls::ClientConfig;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of a stream may be under way unread: memory stays bounded, and the sender waits.
const WINDOW: u32 = 8 << 20;
/// How long an object store may take until the head of its answer. A part of an upload is one request.
const ANSWER: Duration = Duration::from_secs(120);

/// How long nothing may come in the middle of an answer of a store.
const SILENCE: Duration = Duration::from_secs(30);

/// A client for gRPC.
pub type GrpcClient = Client<HttpsConnector<HttpConnector>, tonic::body::Body>;

/// A client for gRPC: HTTP/2 alone, also without TLS.
pub fn grpc(tls: Arc<ClientConfig>) -> GrpcClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config((*tls).clone())
        .https_or_http()
        .enable_http2();
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(connector.wrap_connector(tcp()))
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(Duration::from_secs(15)));
    tcp
}

/// The answer to a question: its status, its head, and as much of its body as is wanted.
#[derive(Debug)]
pub struct SmallAnswer {
    /// The status.
    pub status: u16,
    /// The head.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Asks once, within a limit of time; the answer is at most so large.
pub async fn get(
    tls: &ClientConfig,
    url: &str,
    limit: Duration,
    most: usize,
) -> Result<SmallAnswer, String> {
    let uri: http::Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_http1();
    let client: Client<_, tonic::body::Body> =
        Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp()));
    let asking = async {
        let (head, mut body) = client
            .get(uri)
            .await
            .map_err(|error| chain(&error))?
            .into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            let data = frame.map_err(|error| chain(&error))?.into_data();
            bytes.extend_from_slice(&data.unwrap_or_default());
            if bytes.len() > most {
                return Err(format!("its answer is larger than {most} bytes"));
            }
        }
        Ok(SmallAnswer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: bytes,
        })
    };
    let late = |_| Err(format!("no answer within {limit:?}"));
    tokio::time::timeout(limit, asking)
        .await
        .unwrap_or_else(late)
}

/// Makes what `object_store` sends its requests with.
#[derive(Debug)]
pub struct OurHttp(pub Arc<ClientConfig>);

impl objects::HttpConnector for OurHttp {
    fn connect(
        &self,
        _: &object_store::ClientOptions,
    ) -> object_store::Result<objects::HttpClient> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*self.0).clone())
            .https_or_http()
            .enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector.wrap_connector(tcp()));
        Ok(objects::HttpClient::new(StoreRequests(client)))
    }
}

#[derive(Debug)]
struct StoreRequests(Client<HttpsConnector<HttpConnector>, HttpRequestBody>);

#[async_trait]
impl objects::HttpService for StoreRequests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(ANSWER, self.0.request(request)).await;
        let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let (head, body) = answer.map_err(failed)?.into_parts();
        let body = LimitedBody { body, late: None };
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

/// The body of an answer, which fails where nothing comes of it for long: lists and small objects are read by
/// `object_store`, which has no limit of its own.
struct LimitedBody {
    body: Incoming,
    late: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for LimitedBody {
    type Data = bytes::Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.late = None;
            let failed = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        let late = (self.late).get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
        std::task::ready!(late.as_mut().poll(cx));
        let words = Chain(format!(
            "nothing comes for {SILENCE:?} in the middle of an answer"
        ));
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, words))))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn failed(error: legacy::Error) -> HttpError {
    let kind = match error.is_connect() {
        true => HttpErrorKind::Connect,
        false => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, Chain::of(&error))
}

/// An error with all its causes: `object_store` prints the first one alone.
#[derive(Debug)]
struct Chain(String);

impl Chain {
    fn of(error: &dyn std::error::Error) -> Chain {
        Chain(chain(error))
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Chain {}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    caused(error.to_string(), error.source())
}

/// These words and what caused them, in one line. What says its cause itself is not followed by it again, and what says
/// no more than that a client failed is left out.
pub fn caused(words: String, mut cause: Option<&dyn std::error::Error>) -> String {
    let mut text = words;
    while let Some(error) = cause {
        let words = error.to_string();
        match text.is_empty() || text.starts_with("client error (") && !text.contains(": ") {
            true => text = words,
            false if text.contains(&words) => {}
            false => text = format!("{text}: {words}"),
        }
        cause = error.source();
    }
    text
}
