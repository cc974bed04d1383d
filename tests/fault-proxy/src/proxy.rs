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

use base64::{Engine, engine::general_purpose::STANDARD};
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
    /// Taken and thrown away, with a name for what was taken.
    Swallowed,
    /// The connection ends before the answer.
    DroppedConnection,
    /// The connection ends after the node has done what it was asked.
    LostAnswer,
    /// The node is not as far as the keeper knows it should be.
    NodeIsBehind,
    /// An answer from a node that is far behind.
    StaleSlot,
    /// An answer of a slot that is not to come, and heights to go with it.
    FarFuture,
    /// An answer of so many slots later.
    Ahead(u64),
    /// The slot is right, and heights are of blocks that are not to come.
    FarHeight,
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
    /// The node wants to be asked less often, and says something else: this code.
    Busy(i64),
    /// The node wants to be asked again in so many seconds.
    AskedLater(u64),
    /// A list with nothing in it.
    EmptyList,
    /// A list of which all but the first is lost.
    ShortList,
    /// Nothing where there is something: every account, or status, is null.
    Nothing,
    /// Accounts that are a byte longer.
    Grown,
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
        Fault::Busy(code) => {
            let status = "429 Too Many Requests";
            Some(Answer { status, ..Answer::error(&request["id"], code, "slow down") })
        }
        Fault::Code(code) => Some(Answer::error(&request["id"], code, "sick")),
        Fault::AskedLater(60) => page("429 Too Many Requests\r\nRetry-After: 60", "slow down"),
        Fault::AskedLater(_) => page("503 Service Unavailable\r\nRetry-After: 1", "slow down"),
        Fault::DroppedConnection => None,
        Fault::Swallowed => {
            let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": "swallowed" });
            Some(Answer::ok(body))
        }
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
        (Fault::Nothing, Some(list)) => list.fill(Value::Null),
        (Fault::Grown, Some(list)) => list.iter_mut().for_each(grow),
        _ => {}
    }
    let moved = |slot: u64| match fault {
        Fault::StaleSlot => slot.saturating_sub(1_000),
        Fault::FarFuture => FAR_FUTURE,
        Fault::Ahead(slots) => slot.saturating_add(slots),
        _ => slot,
    };
    for place in ["/result/context/slot", "/result/absoluteSlot"] {
        if let Some(slot) = answer.pointer_mut(place) {
            *slot = json!(moved(slot.as_u64().unwrap_or_default()));
        }
    }
    if matches!(fault, Fault::FarFuture | Fault::FarHeight) {
        for place in ["/result/blockHeight", "/result/value/lastValidBlockHeight"] {
            if let Some(height) = answer.pointer_mut(place) {
                *height = json!(FAR_FUTURE);
            }
        }
    }
    if fault == Fault::Dialect {
        in_dialect(&mut answer);
        let id = answer.get("id").map(ToString::to_string);
        answer["id"] = json!(id);
    }
    Some(answer.to_string())
}

/// Lets an account be a byte longer than it is.
fn grow(listed: &mut Value) {
    let account = if listed["account"].is_null() { listed } else { &mut listed["account"] };
    let Some(text) = account.pointer_mut("/data/0") else { return };
    if let Some(mut data) = text.as_str().and_then(|text| STANDARD.decode(text).ok()) {
        data.push(0);
        *text = json!(STANDARD.encode(data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back of `result` through a proxy with this fault.
    fn through(fault: Fault, result: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
        let node = http::serve(move |_| Some(Answer::ok(body.clone())));
        let proxy = Proxy::to(&format!("http://{node}"), &[("ask", fault)]);
        let address = proxy.url().strip_prefix("http://").unwrap().parse().unwrap();
        let answer = http::post(address, &json!({ "method": "ask", "params": [] })).unwrap();
        assert_eq!(proxy.faults_left(), 0);
        serde_json::from_str(&answer).unwrap()
    }

    #[test]
    fn answers_become_what_the_fault_says() {
        let account = json!({ "lamports": 5, "data": ["AQI=", "base64"] });
        let list = json!({ "context": { "slot": 2_000 }, "value": [account, account] });
        let changed = |fault| through(fault, &list)["result"].take();
        assert_eq!(changed(Fault::None), list);
        let nothing = json!({ "context": { "slot": 2_000 }, "value": [null, null] });
        assert_eq!(changed(Fault::Nothing), nothing);
        assert_eq!(changed(Fault::PartialAnswer)["value"].as_array().unwrap().len(), 1);
        assert_eq!(changed(Fault::Grown)["value"][1]["data"][0], "AQIA");
        assert_eq!(changed(Fault::Ahead(100))["context"]["slot"], 2_100);
        assert_eq!(changed(Fault::StaleSlot)["context"]["slot"], 1_000);
        let keyed = json!([{ "pubkey": "1", "account": account }]);
        assert_eq!(through(Fault::Grown, &keyed)["result"][0]["account"]["data"][0], "AQIA");

        let hash = json!({
            "context": { "slot": 2_000 },
            "value": { "blockhash": "1", "lastValidBlockHeight": 900 },
        });
        let epoch = json!({ "absoluteSlot": 2_000, "blockHeight": 800 });
        for (fault, slot) in [(Fault::FarHeight, 2_000), (Fault::FarFuture, FAR_FUTURE)] {
            let (hash, epoch) = (through(fault, &hash), through(fault, &epoch));
            assert_eq!(hash["result"]["context"]["slot"], slot, "{fault:?}");
            assert_eq!(hash["result"]["value"]["lastValidBlockHeight"], FAR_FUTURE, "{fault:?}");
            assert_eq!(epoch["result"]["absoluteSlot"], slot, "{fault:?}");
            assert_eq!(epoch["result"]["blockHeight"], FAR_FUTURE, "{fault:?}");
        }
        assert_eq!(through(Fault::Busy(-32_600), &list)["error"]["code"], -32_600);
        assert_eq!(through(Fault::Swallowed, &list)["result"], "swallowed");
    }

    #[test]
    fn what_is_to_last_lasts_and_is_counted() {
        let node = http::serve(|_| Some(Answer::ok(json!({ "result": [1, 2] }))));
        let proxy = Proxy::to(&format!("http://{node}"), &[]);
        let address = proxy.url().strip_prefix("http://").unwrap().parse().unwrap();
        let ask = |method: &str| http::post(address, &json!({ "method": method })).unwrap();
        let length = Duration::from_millis(300);
        let met = proxy.during(Some("ask"), Fault::EmptyList, length);
        let begun = Instant::now();
        while begun.elapsed() < length / 2 {
            assert!(ask("ask").contains("[]") || begun.elapsed() >= length);
            assert!(ask("other").contains("[1,2]"));
        }
        thread::sleep(length);
        assert!(ask("ask").contains("[1,2]") && met.load(Ordering::Relaxed) > 0);
        // Nobody answers, and nobody hangs up.
        proxy.during(None, Fault::BlackHole, Duration::from_secs(600));
        let (sender, answered) = std::sync::mpsc::channel();
        thread::spawn(move || sender.send(http::post(address, &json!({ "method": "ask" }))));
        assert!(answered.recv_timeout(TOO_LONG + length).is_err());
    }
}
