//! A proxy between the keeper and a node that lets things go wrong.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::http::{self, Answer};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: what comes next happens to a later call.
    None,
    /// The node wants to be asked less often.
    TooManyRequests,
    /// Half of the answer.
    TruncatedJson,
    /// An answer without its last account.
    PartialAnswer,
    /// The connection ends before the answer.
    DroppedConnection,
    /// The connection ends after the node has done what it was asked.
    LostAnswer,
    /// The node is not as far as the keeper knows it should be.
    NodeIsBehind,
    /// An answer from a node that is far behind.
    StaleSlot,
    /// No answer in time.
    Timeout,
    /// An error that is the node's own.
    InternalError,
    /// An error with this code, or a page with this status of HTTP.
    Code(i64),
    /// The node wants to be asked again in so many seconds.
    AskedLater(u64),
    /// A list with nothing in it.
    EmptyList,
    /// A list of which all but the first is lost.
    ShortList,
}

/// Longer than the keeper is told to wait.
const TOO_LONG: Duration = Duration::from_millis(1_500);

/// A running proxy. Its threads end with the test process.
pub struct Proxy {
    url: String,
    faults: Arc<Mutex<VecDeque<(&'static str, Fault)>>>,
}

impl Proxy {
    /// Passes calls on to the node at `url`; each of `faults` happens once, to the
    /// next call of its method.
    pub fn to(url: &str, faults: &[(&'static str, Fault)]) -> Self {
        let node: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let faults = Arc::new(Mutex::new(faults.iter().copied().collect::<VecDeque<_>>()));
        let waiting = Arc::clone(&faults);
        let address = http::serve(move |request| {
            let method = request["method"].as_str().unwrap_or_default();
            let fault = {
                let mut waiting = waiting.lock().unwrap();
                let at = waiting.iter().position(|(wanted, _)| *wanted == method);
                at.and_then(|at| waiting.remove(at)).map(|(_, fault)| fault)
            };
            pass(node, request, fault)
        });
        Self { url: format!("http://{address}"), faults }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets more go wrong.
    pub fn add(&self, method: &'static str, fault: Fault, times: usize) {
        self.faults.lock().unwrap().extend(std::iter::repeat_n((method, fault), times));
    }

    /// How much has not gone wrong yet.
    pub fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }
}

fn pass(node: SocketAddr, request: &Value, fault: Option<Fault>) -> Option<Answer> {
    let error = |code: i64, message: &str| {
        let error = json!({ "code": code, "message": message });
        Some(Answer::ok(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })))
    };
    match fault {
        Some(Fault::TooManyRequests) => {
            let status = "429 Too Many Requests\r\nRetry-After: 0";
            return Some(Answer { status, body: "slow down".to_owned() });
        }
        Some(Fault::Code(code)) => return Some(Answer::error(&request["id"], code, "sick")),
        Some(Fault::AskedLater(seconds)) => {
            let status = match seconds {
                60 => "429 Too Many Requests\r\nRetry-After: 60",
                _ => "503 Service Unavailable\r\nRetry-After: 1",
            };
            return Some(Answer { status, body: "slow down".to_owned() });
        }
        Some(Fault::DroppedConnection) => return None,
        Some(Fault::NodeIsBehind) => {
            return error(-32016, "Minimum context slot has not been reached");
        }
        Some(Fault::InternalError) => {
            return Some(Answer { status: "502 Bad Gateway", body: "<html>".to_owned() });
        }
        Some(Fault::Timeout) => {
            thread::sleep(TOO_LONG);
            return None;
        }
        _ => {}
    }
    let body = http::post(node, request)?;
    let body = match fault {
        Some(Fault::LostAnswer) => return None,
        Some(Fault::TruncatedJson) => body[..body.len() / 2].to_owned(),
        Some(Fault::PartialAnswer) => {
            let mut answer: Value = serde_json::from_str(&body).unwrap();
            answer["result"]["value"].as_array_mut().unwrap().pop();
            answer.to_string()
        }
        Some(Fault::EmptyList | Fault::ShortList) => {
            let mut answer: Value = serde_json::from_str(&body).unwrap();
            let result = &mut answer["result"];
            let list = if result.is_array() { result } else { &mut result["value"] };
            let kept = usize::from(fault == Some(Fault::ShortList));
            list.as_array_mut().unwrap().truncate(kept);
            answer.to_string()
        }
        Some(Fault::StaleSlot) => {
            let mut answer: Value = serde_json::from_str(&body).unwrap();
            let slot = answer["result"]["context"]["slot"].as_u64().unwrap();
            answer["result"]["context"]["slot"] = json!(slot - 1_000);
            answer.to_string()
        }
        _ => body,
    };
    Some(Answer { status: "200 OK", body })
}
