//! As much of an HTTP server as a JSON-RPC client needs.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use serde_json::{Value, json};

/// What is answered to a request.
pub struct Answer {
    /// HTTP's status line, and headers after it where there are more.
    pub status: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A body of JSON.
    pub fn ok(body: Value) -> Self {
        Self { status: "200 OK", body: body.to_string() }
    }

    /// An error by JSON-RPC's code, or one that has no body but HTTP's status.
    pub fn error(id: &Value, code: i64, message: &str) -> Self {
        let page = |status| Self { status, body: format!("<html>{message}</html>") };
        match code {
            410 => page("410 Gone"),
            413 => page("413 Payload Too Large"),
            429 => page("429 Too Many Requests"),
            502 => page("502 Bad Gateway"),
            503 => page("503 Service Unavailable"),
            200 => page("200 OK"),
            code => {
                let error = json!({ "code": code, "message": message });
                Self::ok(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
            }
        }
    }
}

/// Serves JSON on a port of its own until the test process ends; a connection to
/// which `answer` has nothing to say is hung up on.
pub fn serve(answer: impl Fn(&Value) -> Option<Answer> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || converse(stream, &*answer));
        }
    });
    address
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&Value) -> Option<Answer>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = request(&mut reader) {
        let Some(Answer { status, body }) = answer(&request) else { return };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The client may have hung up already.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}

/// The JSON body of the next request, or its path where it has none, with an API's key
/// behind it; `None` when the client hangs up.
fn request(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    let (mut length, mut first, mut key) = (0, String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if first.is_empty() {
            first = line.to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some((_, value)) = line.split_once("x-api-key: ") {
            key = format!(" {value}");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if body.is_empty() {
        return Some(Value::String(format!("{}{key}", first.split(' ').nth(1)?)));
    }
    serde_json::from_slice(&body).ok()
}

/// Asks a server of JSON-RPC, and returns what it answers.
pub fn post(address: SocketAddr, request: &Value) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let body = request.to_string();
    write!(
        stream,
        "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
