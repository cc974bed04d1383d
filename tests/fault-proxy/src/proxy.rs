//! A proxy of JSON-RPC over HTTP that lets things go wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    FAR_FUTURE,
    http::{self, Answer},
    in_dialect, locked,
};

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
    /// An answer of a slot that is not to come.
    FarFuture,
    /// No answer in time: the connection ends when nobody waits any more.
    Timeout,
    /// No answer, and no end of the connection, for longer than anybody waits.
    BlackHole,
    /// An answer after so long.
    Slow(Duration),
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
    /// No more than so many accounts in a call, or this code.
    AtMost(usize, i64),
    /// Numbers as JavaScript rounds them, an id as text, more fields.
    Dialect,
}

/// Longer than the keeper is told to wait by who uses a [`Fault::Timeout`]: two seconds.
const TOO_LONG: Duration = Duration::from_millis(2_500);
/// Longer than the keeper waits for anything.
const FOR_EVER: Duration = Duration::from_secs(100);

/// Whose calls go wrong, and how often.
struct Trouble {
    /// `None` for every method.
    method: Option<&'static str>,
    fault: Fault,
    left: Left,
    met: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Once,
    Until(Instant),
}

type Troubles = Arc<Mutex<Vec<Trouble>>>;

/// A running proxy.
pub struct Proxy {
    url: String,
    troubles: Troubles,
}

impl Proxy {
    /// Passes calls on to the node at `url`; each of `faults` happens once, to the
    /// next call of its method.
    pub fn to(url: &str, faults: &[(&'static str, Fault)]) -> Self {
        let node: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let troubles = Troubles::default();
        let waiting = Arc::clone(&troubles);
        let address = http::serve(move |request| {
            let method = request["method"].as_str().unwrap_or_default();
            pass(node, request, next(&waiting, method))
        });
        let proxy = Self { url: format!("http://{address}"), troubles };
        for (method, fault) in faults {
            proxy.add(method, *fault, 1);
        }
        proxy
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets more go wrong: the next calls of a method, one after the other.
    pub fn add(&self, method: &'static str, fault: Fault, times: usize) {
        let once =
            || Trouble { method: Some(method), fault, left: Left::Once, met: Arc::default() };
        locked(&self.troubles).extend(std::iter::repeat_with(once).take(times));
    }

    /// Lets every call go wrong for a while, or every call of a method. Returns the count
    /// of those that do.
    pub fn during(
        &self,
        method: Option<&'static str>,
        fault: Fault,
        length: Duration,
    ) -> Arc<AtomicUsize> {
        let met = Arc::<AtomicUsize>::default();
        let left = Left::Until(Instant::now() + length);
        locked(&self.troubles).push(Trouble { method, fault, left, met: Arc::clone(&met) });
        met
    }

    /// How much has not gone wrong yet.
    pub fn faults_left(&self) -> usize {
        locked(&self.troubles).len()
    }

    /// Lets nothing more go wrong.
    pub fn clear(&self) {
        locked(&self.troubles).clear();
    }
}

/// What goes wrong with a call of this method.
fn next(troubles: &Mutex<Vec<Trouble>>, method: &str) -> Option<Fault> {
    let (mut troubles, now) = (locked(troubles), Instant::now());
    troubles.retain(|trouble| !matches!(trouble.left, Left::Until(end) if end <= now));
    let concerns = |trouble: &Trouble| trouble.method.is_none_or(|wanted| wanted == method);
    let at = troubles.iter().position(concerns)?;
    let fault = troubles[at].fault;
    troubles[at].met.fetch_add(1, Ordering::Relaxed);
    if troubles[at].left == Left::Once {
        troubles.remove(at);
    }
    Some(fault)
}

fn pass(node: SocketAddr, request: &Value, fault: Option<Fault>) -> Option<Answer> {
    let Some(answer) = instead(request, fault) else {
        let body = http::post(node, request)?;
        return changed(body, fault).map(|body| Answer { status: "200 OK", body });
    };
    answer
}

/// What is answered without asking the node; the inner `None` for nothing at all.
#[expect(clippy::option_option, reason = "no answer is one of the answers")]
fn instead(request: &Value, fault: Option<Fault>) -> Option<Option<Answer>> {
    let page = |status, body: &str| Some(Answer { status, body: body.to_owned() });
    Some(match fault? {
        Fault::TooManyRequests => page("429 Too Many Requests\r\nRetry-After: 0", "slow down"),
        Fault::Code(code) => Some(Answer::error(&request["id"], code, "sick")),
        Fault::AskedLater(60) => page("429 Too Many Requests\r\nRetry-After: 60", "slow down"),
        Fault::AskedLater(_) => page("503 Service Unavailable\r\nRetry-After: 1", "slow down"),
        Fault::DroppedConnection => None,
        Fault::NodeIsBehind => {
            let message = "Minimum context slot has not been reached";
            Some(Answer::error(&request["id"], -32016, message))
        }
        Fault::InternalError => page("502 Bad Gateway", "<html>"),
        Fault::Timeout => {
            thread::sleep(TOO_LONG);
            None
        }
        Fault::BlackHole => {
            thread::sleep(FOR_EVER);
            None
        }
        Fault::AtMost(most, code) => {
            let asked = request["params"][0].as_array().map_or(0, Vec::len);
            let refused = request["method"] == "getMultipleAccounts" && asked > most;
            return refused.then(|| Some(Answer::error(&request["id"], code, "too many")));
        }
        _ => return None,
    })
}

/// What becomes of the node's answer on its way.
fn changed(body: String, fault: Option<Fault>) -> Option<String> {
    let Some(fault) = fault else { return Some(body) };
    match fault {
        Fault::LostAnswer => return None,
        Fault::TruncatedJson => return Some(body[..body.len() / 2].to_owned()),
        Fault::Slow(pause) => {
            thread::sleep(pause);
            return Some(body);
        }
        _ => {}
    }
    let Ok(mut answer) = serde_json::from_str::<Value>(&body) else { return Some(body) };
    let list = match answer.get_mut("result") {
        Some(Value::Array(list)) => Some(list),
        Some(result) => result.get_mut("value").and_then(Value::as_array_mut),
        None => None,
    };
    match (fault, list) {
        (Fault::PartialAnswer, Some(list)) => drop(list.pop()),
        (Fault::EmptyList, Some(list)) => list.clear(),
        (Fault::ShortList, Some(list)) => list.truncate(1),
        _ => {}
    }
    let moved = |slot: u64| match fault {
        Fault::StaleSlot => slot.saturating_sub(1_000),
        Fault::FarFuture => FAR_FUTURE,
        _ => slot,
    };
    for place in ["/result/context/slot", "/result/absoluteSlot"] {
        if let Some(slot) = answer.pointer_mut(place) {
            *slot = json!(moved(slot.as_u64().unwrap_or_default()));
        }
    }
    if fault == Fault::Dialect {
        in_dialect(&mut answer);
        let id = answer.get("id").map(ToString::to_string);
        answer["id"] = json!(id);
    }
    Some(answer.to_string())
}
