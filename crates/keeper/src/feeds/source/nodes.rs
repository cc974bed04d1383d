//! Which node is asked: the first that has the role and is well.
//!
//! A node that fails or is behind is left out for a while, and taken back when that is
//! over. Where there is no other, the same one is asked again after a pause, none longer
//! than the caller has time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::{info, warn};

use super::call::{Cure, Endpoint, Failure};

/// Times a call is tried before its error is reported.
const ATTEMPTS: usize = 5;
/// Pause before a node is asked again; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest time that a node is left out unasked.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause before a node is asked again that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Pauses from which on people are told that there is one.
const TOLD: Duration = Duration::from_secs(1);

/// What a node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Accounts, blocks, and what became of transactions.
    Scan,
    /// Account updates.
    Stream,
    /// Signed transactions.
    Send,
    /// Simulations.
    Simulate,
}

impl Role {
    /// All of them, with their names in settings.
    pub const ALL: [(&'static str, Self); 4] = [
        ("scan", Self::Scan),
        ("stream", Self::Stream),
        ("send", Self::Send),
        ("simulate", Self::Simulate),
    ];
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The first that is well.
    Any,
    /// The next that is well, if there is one: a second answer is worth most of somebody
    /// who did not give the first.
    Another,
}

/// A node and how it does.
pub struct Node {
    pub endpoint: Endpoint,
    roles: Vec<Role>,
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    /// Failures in a row.
    failures: u32,
    /// Not asked before, unless no other can be.
    out_until: Option<Instant>,
}

impl Node {
    pub fn new(url: &str, roles: Vec<Role>) -> Self {
        Self { endpoint: Endpoint::new(url), roles, standing: Mutex::default() }
    }

    /// The same over connections of its own, and well.
    pub fn again(&self) -> Self {
        Self::new(&self.endpoint.url, self.roles.clone())
    }

    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// When it may be asked again; `None` for now.
    fn out_until(&self) -> Option<Instant> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.out_until.filter(|until| *until > Instant::now())
    }

    fn well(&self) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.out_until.take().is_some() {
            info!(node = self.endpoint.name, "node taken back");
        }
        standing.failures = 0;
    }

    /// Leaves it out for a while: at least as long as its failure `took`, or one that hangs
    /// would cost most of everybody's time.
    fn ill(&self, why: &str, wait: Option<Duration>, took: Duration) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = FIRST_PAUSE.saturating_mul(1 << standing.failures.min(8)).max(took);
        let pause = wait.unwrap_or(pause).min(LONGEST_PAUSE);
        standing.failures = standing.failures.saturating_add(1);
        standing.out_until = Some(Instant::now() + pause);
        let pause_ms = pause.as_millis();
        warn!(node = self.endpoint.name, reason = why, pause_ms, "node taken out");
    }
}

/// Nodes of one cluster, in the order they are preferred.
pub struct Nodes {
    nodes: Arc<[Node]>,
    /// Longest one of them may take to answer.
    pub timeout: Duration,
    /// Longest a call may take with all its pauses.
    limit: Duration,
}

impl Nodes {
    /// `nodes`, each with so much time for an answer. Calls take three times as long at
    /// most.
    pub fn new(nodes: Vec<Node>, timeout: Duration) -> Self {
        Self { nodes: nodes.into(), timeout, limit: timeout * 3 }
    }

    /// The same nodes, each with no more time than that for an answer.
    pub fn within(&self, patience: Duration) -> Self {
        let timeout = self.timeout.min(patience);
        Self { nodes: Arc::clone(&self.nodes), timeout, limit: timeout * 3 }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Nodes with a role that have not `refused` what is asked.
    fn able(&self, role: Role, refused: &[&Node]) -> Vec<&Node> {
        let has_refused = |node: &Node| refused.iter().any(|it| std::ptr::eq(*it, node));
        self.nodes.iter().filter(|node| node.has(role) && !has_refused(node)).collect()
    }

    /// The node to ask, and whether another one could be.
    fn choose(&self, role: Role, whom: Whom, refused: &[&Node]) -> Option<(&Node, bool)> {
        let mut able = self.able(role, refused);
        able.sort_by_key(|node| node.out_until());
        let next = able.get(1).filter(|it| whom == Whom::Another && it.out_until().is_none());
        Some((next.or(able.first())?, able.len() > 1))
    }

    fn is_any_well(&self, role: Role, refused: &[&Node]) -> bool {
        self.able(role, refused).iter().any(|node| node.out_until().is_none())
    }

    /// Asks one node after the other, once each, without pauses, until `judge` takes an
    /// answer. Each has its own time: one that hangs keeps no other from being asked.
    pub fn call_once<T: DeserializeOwned>(
        &self,
        (role, mut whom): (Role, Whom),
        method: &'static str,
        params: &Value,
        judge: impl Fn(&T) -> Result<(), String>,
    ) -> Result<T> {
        let mut tries = self.able(role, &[]).len();
        let mut refused = Vec::new();
        loop {
            let (node, has_others) =
                self.choose(role, whom, &refused).with_context(|| no_node(role))?;
            (tries, whom) = (tries.saturating_sub(1), Whom::Any);
            let asked = Instant::now();
            match ask(node, method, params, asked + self.timeout, &judge) {
                Ok(answer) => {
                    node.well();
                    return Ok(answer);
                }
                Err(failure) => {
                    if matches!(failure.cure(), Cure::Smaller | Cure::Never) {
                        refused.push(node);
                    } else if has_others {
                        node.ill(&failure.to_string(), failure.wait(), asked.elapsed());
                    }
                    if tries == 0 || !has_others {
                        let what = format!("{method} failed: {}", node.endpoint.name);
                        return Err(failure.into_error().context(what));
                    }
                }
            }
        }
    }

    /// Asks until `judge` takes an answer, as long as that may help.
    pub fn call<T: DeserializeOwned>(
        &self,
        (role, mut whom): (Role, Whom),
        method: &'static str,
        params: &Value,
        judge: impl Fn(&T) -> Result<(), String>,
    ) -> Result<T> {
        let until = Instant::now() + self.limit;
        let mut pause = FIRST_PAUSE;
        let most = ATTEMPTS.max(self.nodes.len() + 1);
        // What is asked for several of can be asked for fewer of, which the caller does.
        let can_shrink = params[0].as_array().is_some_and(|keys| keys.len() > 1);
        let (mut tries, mut refused) = (0, Vec::new());
        loop {
            let (node, has_others) =
                self.choose(role, whom, &refused).with_context(|| no_node(role))?;
            let asked = Instant::now();
            let deadline = until.min(asked + self.timeout);
            (tries, whom) = (tries + 1, Whom::Any);
            let failure = match ask(node, method, params, deadline, &judge) {
                Ok(answer) => {
                    node.well();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let name = &node.endpoint.name;
            let (cure, wait) = (failure.cure(), failure.wait());
            let text = failure.to_string();
            let give_up = |what: String| Err(failure.into_error().context(what));
            let is_refusal = matches!(cure, Cure::Smaller | Cure::Never);
            let is_last = match cure {
                Cure::Smaller if can_shrink => true,
                Cure::Smaller | Cure::Never | Cure::Elsewhere => !has_others,
                Cure::AtOnce | Cure::Later => false,
            };
            if is_last {
                return give_up(format!("{method} failed: {name}"));
            }
            if is_refusal {
                // It may be the only one that does; nor is it ill for that.
                info!(node = name, method, reason = text, "asked elsewhere");
                refused.push(node);
            } else if has_others {
                node.ill(&text, wait, asked.elapsed());
            }
            if tries >= most {
                return give_up(format!("{method} failed {tries} times: {name}"));
            }
            if is_refusal
                || has_others && self.is_any_well(role, &refused)
                || cure == Cure::AtOnce && tries == 1
            {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now()).min(LONGEST_WAIT);
            let wait = wait.unwrap_or(pause);
            if wait >= left {
                return give_up(format!(
                    "{method} failed {tries} times: {name} is to be asked again in {} ms, {} ms are left",
                    wait.as_millis(),
                    left.as_millis()
                ));
            }
            warn!(node = name, method, reason = text, pause_ms = wait.as_millis(), "asked again");
            if wait >= TOLD && !tracing::dispatcher::has_been_set() {
                eprintln!("waiting {} s: {name}: {text}", wait.as_secs());
            }
            thread::sleep(wait);
            pause *= 2;
        }
    }
}

/// A node's answer, if it is one that counts.
fn ask<T: DeserializeOwned>(
    node: &Node,
    method: &str,
    params: &Value,
    deadline: Instant,
    judge: &impl Fn(&T) -> Result<(), String>,
) -> Result<T, Failure> {
    let answer = node.endpoint.call(method, params, deadline)?;
    judge(&answer).map_err(|why| Failure::lost(why, Cure::Later))?;
    Ok(answer)
}

fn no_node(role: Role) -> String {
    format!("no node is there to {role:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_fails_is_left_out_and_taken_back() {
        let all = || Role::ALL.map(|(_, role)| role).to_vec();
        let nodes = Nodes::new(
            vec![Node::new("http://a", all()), Node::new("http://b", vec![Role::Scan])],
            Duration::from_secs(1),
        );
        let chosen = |role| {
            let (node, has_others) = nodes.choose(role, Whom::Any, &[]).unwrap();
            (&*node.endpoint.name, has_others)
        };
        assert_eq!((chosen(Role::Scan), chosen(Role::Simulate)), (("a", true), ("a", false)));
        let another = |role| &*nodes.choose(role, Whom::Another, &[]).unwrap().0.endpoint.name;
        assert_eq!((another(Role::Scan), another(Role::Simulate)), ("b", "a"));
        let first = nodes.iter().next().unwrap();
        first.ill("sick", Some(Duration::from_millis(30)), Duration::ZERO);
        assert_eq!((chosen(Role::Scan), chosen(Role::Simulate)), (("b", true), ("a", false)));
        assert_eq!(another(Role::Scan), "b", "the other one is out");
        // All out: the one that is back first.
        nodes.iter().last().unwrap().ill("sick", Some(Duration::from_secs(9)), Duration::ZERO);
        assert!(!nodes.is_any_well(Role::Scan, &[]));
        assert_eq!(chosen(Role::Scan), ("a", true));
        thread::sleep(Duration::from_millis(40));
        assert!(nodes.is_any_well(Role::Scan, &[]));
        first.well();
        assert_eq!(first.standing.lock().unwrap().failures, 0);
        // One that hung for so long is left out for so long.
        first.ill("silent", None, Duration::from_secs(9));
        assert!(first.out_until().unwrap() > Instant::now() + Duration::from_secs(8));
    }

    /// The first takes connections and answers nothing.
    #[test]
    fn a_node_that_hangs_takes_its_own_time_and_nobody_elses() {
        use fault_proxy::http::{Answer, serve};

        let silent = serve(|_| {
            thread::sleep(Duration::from_secs(30));
            None
        });
        let well = serve(|_| Some(Answer::ok(serde_json::json!({ "result": 7 }))));
        let urls = [silent, well].map(|address| format!("http://{address}"));
        let nodes = urls.map(|url| Node::new(&url, vec![Role::Scan])).into();
        let nodes = Nodes::new(nodes, Duration::from_secs(60));
        let begun = Instant::now();
        let hurried = nodes.within(Duration::from_millis(300));
        let judge = |_: &u64| Ok(());
        let once = hurried.call_once((Role::Scan, Whom::Any), "getSlot", &Value::Null, judge);
        assert_eq!(once.unwrap(), 7);
        // It is left out, whoever asks, and then asked again.
        assert!(nodes.iter().next().unwrap().out_until().is_some());
        thread::sleep(Duration::from_millis(500));
        assert_eq!(
            hurried.call((Role::Scan, Whom::Any), "getSlot", &Value::Null, judge).unwrap(),
            7
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }

    /// What one refuses for good, another may take; what all refuse is refused, at once.
    #[test]
    fn a_refusal_counts_when_every_node_was_asked_once() {
        use fault_proxy::http::{Answer, serve};
        use serde_json::json;

        let refuses = |code| serve(move |it| Some(Answer::error(&it["id"], code, "no")));
        let takes = serve(|_| Some(Answer::ok(json!({ "result": 7 }))));
        let judge = |_: &u64| Ok(());
        let one = json!(["an address"]);
        let several = json!([["an account", "another one"]]);
        for code in [-32600, 413, -32602, 400] {
            let of = |addresses: &[std::net::SocketAddr]| {
                let node = |it| Node::new(&format!("http://{it}"), vec![Role::Scan]);
                Nodes::new(addresses.iter().map(node).collect(), Duration::from_secs(20))
            };
            let nodes = of(&[refuses(code), refuses(code), takes]);
            assert_eq!(
                nodes.call((Role::Scan, Whom::Any), "ask", &one, judge).unwrap(),
                7,
                "{code}"
            );
            assert_eq!(
                nodes.call_once((Role::Scan, Whom::Any), "ask", &one, judge).unwrap(),
                7,
                "{code}"
            );
            assert!(nodes.iter().all(|node| node.out_until().is_none()), "{code}: none is ill");
            // Fewer at a time are asked for of the same node.
            let is_smaller = [413, -32602].contains(&code);
            let result = nodes.call((Role::Scan, Whom::Any), "ask", &several, judge);
            assert_eq!(result.is_err(), is_smaller, "{code}");
            let nodes = of(&[refuses(code), refuses(code)]);
            for error in [
                nodes.call((Role::Scan, Whom::Any), "ask", &one, judge).unwrap_err(),
                nodes.call_once((Role::Scan, Whom::Any), "ask", &one, judge).unwrap_err(),
            ] {
                assert!(format!("{error:#}").contains(&format!("({code})")), "{error:#}");
            }
        }
    }

    #[test]
    fn who_is_not_there_is_not_waited_for_longer_than_there_is_time() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/SECRET");
        let nodes = Nodes::new(vec![Node::new(&url, vec![Role::Scan])], Duration::from_millis(100));
        let begun = Instant::now();
        let judge = |_: &u64| Ok(());
        let error =
            nodes.call((Role::Scan, Whom::Any), "getSlot", &Value::Null, judge).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("ms are left") && !error.contains("SECRET"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
        let error =
            nodes.call_once((Role::Send, Whom::Any), "getSlot", &Value::Null, judge).unwrap_err();
        assert_eq!(error.to_string(), "no node is there to send");
    }
}
