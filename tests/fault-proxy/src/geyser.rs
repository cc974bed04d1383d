//! A Yellowstone gRPC endpoint on loopback, which does with subscriptions what a test wants;
//! and one that tells what a node's websocket tells.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use tokio::sync::mpsc;
use tungstenite::{Error, Message, WebSocket};
use yellowstone_grpc_proto::{
    geyser::{
        GetBlockHeightRequest, GetBlockHeightResponse, GetLatestBlockhashRequest,
        GetLatestBlockhashResponse, GetSlotRequest, GetSlotResponse, GetVersionRequest,
        GetVersionResponse, IsBlockhashValidRequest, IsBlockhashValidResponse, PingRequest,
        PongResponse, SubscribeDeshredRequest, SubscribeGossipRequest, SubscribeReplayInfoRequest,
        SubscribeReplayInfoResponse, SubscribeRequest, SubscribeUpdate, SubscribeUpdateAccount,
        SubscribeUpdateAccountInfo, SubscribeUpdateDeshred, SubscribeUpdateGossip,
        SubscribeUpdatePong,
        geyser_server::{Geyser, GeyserServer},
        subscribe_request_filter_accounts_filter::Filter,
        subscribe_request_filter_accounts_filter_memcmp::Data,
        subscribe_update::UpdateOneof,
    },
    tonic::{
        Request, Response, Status, Streaming, async_trait,
        transport::{Server, server::TcpIncoming},
    },
};

/// How long a node may take to confirm all subscriptions.
const PATIENCE: Duration = Duration::from_secs(8);

/// What subscribers are told.
pub type Updates<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What becomes of a subscription.
pub enum Reply {
    /// It is not answered at all; or it is taken, and the ping behind it is not answered.
    Hangs {
        /// The latter.
        is_taken: bool,
    },
    /// It is refused.
    Refuses(Status),
    /// The ping is answered, and then this is told.
    Tells(Updates<SubscribeUpdate>),
}

type Answer = dyn Fn(Option<&str>, SubscribeRequest) -> Reply + Send + Sync;

struct Endpoint(Arc<Answer>);

/// Serves on loopback, until the process ends, with an answer to each token and
/// subscription, which may take its time; returns the URL.
pub fn serve(
    answer: impl Fn(Option<&str>, SubscribeRequest) -> Reply + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = GeyserServer::new(Endpoint(Arc::new(answer)));
        let served = async move {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            Server::builder().add_service(endpoint).serve_with_incoming(incoming).await
        };
        runtime.block_on(served).unwrap();
    });
    url
}

/// Tells by gRPC what the node's websocket at `node` tells of accounts; returns the URL. Where
/// that is refused or ends, so do subscriptions.
pub fn relay(node: SocketAddr) -> String {
    serve(move |_, request| match Relay::subscribe(node, &request) {
        Ok(relay) => Reply::Tells(relay.updates()),
        Err(error) => Reply::Refuses(Status::unavailable(error.to_string())),
    })
}

/// Subscriptions of one stream at a node.
struct Relay {
    socket: WebSocket<TcpStream>,
    /// What each single account that was asked for is called, by the node's number.
    singles: HashMap<u64, Address>,
    /// What was told before all was confirmed.
    early: Vec<String>,
    writes: u64,
}

impl Relay {
    /// Asks for what `request` wants, and waits until that is confirmed.
    fn subscribe(node: SocketAddr, request: &SubscribeRequest) -> tungstenite::Result<Self> {
        let stream = TcpStream::connect(node)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) = tungstenite::client(format!("ws://{node}"), stream)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let (singles, early) = (HashMap::new(), Vec::new());
        let mut relay = Self { socket, singles, early, writes: 0 };
        let mut asked = HashMap::new();
        let mut ask = |method: &str, what: &str, filters: Option<Value>| {
            let id = asked.len() as u64;
            let mut config = json!({ "encoding": "base64", "commitment": "confirmed" });
            if let Some(filters) = filters {
                config["filters"] = filters;
            }
            let params = json!([what, config]);
            let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            asked.insert(id, (method == "accountSubscribe").then(|| what.parse().unwrap()));
            relay.socket.write(Message::text(call.to_string()))
        };
        for filter in request.accounts.values() {
            for key in &filter.account {
                ask("accountSubscribe", key, None)?;
            }
            for owner in &filter.owner {
                let compared = filter.filters.iter().filter_map(|one| match &one.filter {
                    Some(Filter::Memcmp(it)) => match &it.data {
                        Some(Data::Bytes(bytes)) => Some(json!({ "memcmp": {
                            "offset": it.offset,
                            "bytes": BASE64_STANDARD.encode(bytes),
                            "encoding": "base64",
                        }})),
                        _ => None,
                    },
                    _ => None,
                });
                ask("programSubscribe", owner, Some(compared.collect()))?;
            }
        }
        relay.socket.flush()?;
        relay.confirm(asked)?;
        relay.socket.get_ref().set_read_timeout(None)?;
        Ok(relay)
    }

    fn confirm(&mut self, mut asked: HashMap<u64, Option<Address>>) -> tungstenite::Result<()> {
        while !asked.is_empty() {
            let Message::Text(text) = self.socket.read()? else { continue };
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            if message.get("params").is_some() {
                self.early.push(text.to_string());
            } else if let Some(single) = number(&message["id"]).and_then(|id| asked.remove(&id)) {
                let told = io::Error::other(message.to_string());
                let number = number(&message["result"]).ok_or(Error::Io(told))?;
                self.singles.extend(single.map(|key| (number, key)));
            }
        }
        Ok(())
    }

    /// What is told from now on, by a thread that ends with the node's connection, or the
    /// stream's.
    fn updates(mut self) -> Updates<SubscribeUpdate> {
        let (sender, told) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for text in std::mem::take(&mut self.early) {
                if let Some(update) = self.told(&text) {
                    // As below.
                    let _ = sender.send(update);
                }
            }
            loop {
                let update = match self.socket.read() {
                    Ok(Message::Text(text)) => self.told(&text),
                    Ok(_) => None,
                    Err(error) => {
                        // Nobody may listen any more.
                        let _ = sender.send(Err(Status::unavailable(error.to_string())));
                        return;
                    }
                };
                if update.is_some_and(|update| sender.send(update).is_err()) {
                    return;
                }
            }
        });
        let next = |mut told: mpsc::UnboundedReceiver<_>| async {
            told.recv().await.map(|update| (update, told))
        };
        Box::pin(stream::unfold(told, next))
    }

    /// What a message tells of an account. Of what is broken, an update that is.
    fn told(&mut self, text: &str) -> Option<Result<SubscribeUpdate, Status>> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            let broken = UpdateOneof::Account(SubscribeUpdateAccount::default());
            return text.starts_with('{').then(|| update(broken));
        };
        let params = &message["params"];
        let (slot, value) = (&params["result"]["context"]["slot"], &params["result"]["value"]);
        let (key, account) = match message["method"].as_str()? {
            "accountNotification" => (*self.singles.get(&number(&params["subscription"])?)?, value),
            "programNotification" => (value["pubkey"].as_str()?.parse().ok()?, &value["account"]),
            _ => return None,
        };
        self.writes += 1;
        let account = if account.is_null() {
            Account::default()
        } else {
            Account {
                lamports: account["lamports"].as_u64()?,
                owner: account["owner"].as_str()?.parse().ok()?,
                data: BASE64_STANDARD.decode(account["data"][0].as_str()?).ok()?,
                ..Account::default()
            }
        };
        Some(written(number(slot)?, self.writes, &key, &account))
    }
}

/// A number, also where it is written as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// What tells of an account that was written.
pub fn written(
    slot: u64,
    write_version: u64,
    key: &Address,
    account: &Account,
) -> Result<SubscribeUpdate, Status> {
    update(UpdateOneof::Account(SubscribeUpdateAccount {
        slot,
        account: Some(SubscribeUpdateAccountInfo {
            pubkey: key.to_bytes().to_vec(),
            owner: account.owner.to_bytes().to_vec(),
            lamports: account.lamports,
            data: account.data.clone(),
            write_version,
            ..SubscribeUpdateAccountInfo::default()
        }),
        ..SubscribeUpdateAccount::default()
    }))
}

fn update(what: UpdateOneof) -> Result<SubscribeUpdate, Status> {
    Ok(SubscribeUpdate { update_oneof: Some(what), ..SubscribeUpdate::default() })
}

fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the keeper does not call this"))
}

#[async_trait]
impl Geyser for Endpoint {
    type SubscribeStream = Updates<SubscribeUpdate>;
    type SubscribeDeshredStream = Updates<SubscribeUpdateDeshred>;
    type SubscribeGossipStream = Updates<SubscribeUpdateGossip>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let token = request.metadata().get("x-token").cloned();
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap();
        let answer = Arc::clone(&self.0);
        let replied = tokio::task::spawn_blocking(move || {
            answer(token.as_ref().map(|token| token.to_str().unwrap()), first)
        });
        let told = match replied.await.unwrap() {
            Reply::Refuses(status) => return Err(status),
            Reply::Hangs { is_taken: false } => std::future::pending().await,
            Reply::Hangs { is_taken: true } => {
                return Ok(Response::new(Box::pin(stream::pending())));
            }
            Reply::Tells(told) => told,
        };
        // The second request comes when the first one is answered.
        let pong = stream::once(async move {
            let ping = requests.message().await?.unwrap().ping.unwrap();
            update(UpdateOneof::Pong(SubscribeUpdatePong { id: ping.id }))
        });
        Ok(Response::new(Box::pin(pong.chain(told))))
    }

    async fn subscribe_deshred(
        &self,
        _: Request<Streaming<SubscribeDeshredRequest>>,
    ) -> Result<Response<Self::SubscribeDeshredStream>, Status> {
        unused()
    }

    async fn subscribe_gossip(
        &self,
        _: Request<SubscribeGossipRequest>,
    ) -> Result<Response<Self::SubscribeGossipStream>, Status> {
        unused()
    }

    async fn subscribe_replay_info(
        &self,
        _: Request<SubscribeReplayInfoRequest>,
    ) -> Result<Response<SubscribeReplayInfoResponse>, Status> {
        unused()
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        unused()
    }

    async fn get_latest_blockhash(
        &self,
        _: Request<GetLatestBlockhashRequest>,
    ) -> Result<Response<GetLatestBlockhashResponse>, Status> {
        unused()
    }

    async fn get_block_height(
        &self,
        _: Request<GetBlockHeightRequest>,
    ) -> Result<Response<GetBlockHeightResponse>, Status> {
        unused()
    }

    async fn get_slot(
        &self,
        _: Request<GetSlotRequest>,
    ) -> Result<Response<GetSlotResponse>, Status> {
        unused()
    }

    async fn is_blockhash_valid(
        &self,
        _: Request<IsBlockhashValidRequest>,
    ) -> Result<Response<IsBlockhashValidResponse>, Status> {
        unused()
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        unused()
    }
}

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::geyser::{
        SubscribeRequestFilterAccounts, SubscribeRequestFilterAccountsFilter,
        SubscribeRequestFilterAccountsFilterMemcmp, SubscribeRequestPing,
        geyser_client::GeyserClient,
    };

    use super::*;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn request() -> SubscribeRequest {
        let bytes = Data::Bytes(vec![1, 2, 3]);
        let memcmp = SubscribeRequestFilterAccountsFilterMemcmp { offset: 32, data: Some(bytes) };
        let filter = SubscribeRequestFilterAccountsFilter { filter: Some(Filter::Memcmp(memcmp)) };
        let single = SubscribeRequestFilterAccounts {
            account: vec![key(1).to_string()],
            ..SubscribeRequestFilterAccounts::default()
        };
        let all = SubscribeRequestFilterAccounts {
            owner: vec![key(2).to_string()],
            filters: vec![filter],
            ..SubscribeRequestFilterAccounts::default()
        };
        let accounts = [("single".to_owned(), single), ("all".to_owned(), all)].into();
        SubscribeRequest { accounts, ..SubscribeRequest::default() }
    }

    /// What a subscriber of `url` hears until the stream ends, and how it ends.
    fn heard(url: String) -> (Vec<UpdateOneof>, Status) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = GeyserClient::connect(url).await.unwrap();
            let ping = Some(SubscribeRequestPing { id: 1 });
            let ping = SubscribeRequest { ping, ..SubscribeRequest::default() };
            let requests = stream::iter([request(), ping]).chain(stream::pending());
            let mut updates = match client.subscribe(requests).await {
                Ok(updates) => updates.into_inner(),
                Err(status) => return (Vec::new(), status),
            };
            let mut heard = Vec::new();
            loop {
                match updates.message().await {
                    Ok(Some(update)) => heard.push(update.update_oneof.unwrap()),
                    Ok(None) => panic!("it ended without a word"),
                    Err(status) => return (heard, status),
                }
            }
        })
    }

    #[test]
    fn what_a_nodes_websocket_tells_is_told_by_grpc() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = listener.local_addr().unwrap();
        let asked = thread::spawn(move || {
            let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            let mut asked: Vec<Value> = Vec::new();
            while asked.len() < 2 {
                let Message::Text(text) = socket.read().unwrap() else { continue };
                asked.push(serde_json::from_str(&text).unwrap());
            }
            let id_of = |method: &str| {
                asked.iter().find(|call| call["method"] == method).unwrap()["id"].clone()
            };
            let account = |owner: u8| {
                let data = [BASE64_STANDARD.encode([9, 9]), "base64".to_owned()];
                json!({ "lamports": 5, "owner": key(owner).to_string(), "data": data })
            };
            let notified = |method: &str, number: u64, value: Value| {
                let result = json!({ "context": { "slot": 70 }, "value": value });
                let params = json!({ "subscription": number, "result": result });
                json!({ "method": method, "params": params }).to_string()
            };
            let program = json!({ "pubkey": key(4).to_string(), "account": account(2) });
            let said = [
                json!({ "id": id_of("programSubscribe"), "result": 8 }).to_string(),
                notified("programNotification", 8, program),
                // As text, and what nobody asked for, as some write and do.
                json!({ "id": id_of("accountSubscribe").to_string(), "result": "7" }).to_string(),
                "pong".to_owned(),
                notified("accountNotification", 7, account(3)),
                notified("accountNotification", 7, Value::Null),
                notified("accountNotification", 7, account(3))[..40].to_owned(),
            ];
            for text in said {
                socket.send(Message::text(text)).unwrap();
            }
            asked
        });
        let url = relay(node);
        let (told, end) = heard(url.clone());
        let [
            UpdateOneof::Pong(pong),
            UpdateOneof::Account(of_program),
            UpdateOneof::Account(single),
            UpdateOneof::Account(gone),
            UpdateOneof::Account(broken),
        ] = &told[..]
        else {
            panic!("{told:?}")
        };
        let account = |update: &SubscribeUpdateAccount| {
            let account = update.account.clone().unwrap();
            (account.pubkey, account.owner, account.lamports, account.data)
        };
        let bytes = |byte: u8| key(byte).to_bytes().to_vec();
        assert_eq!((pong.id, of_program.slot, single.slot, gone.slot), (1, 70, 70, 70));
        assert_eq!(account(of_program), (bytes(4), bytes(2), 5, vec![9, 9]));
        assert_eq!(account(single), (bytes(1), bytes(3), 5, vec![9, 9]));
        assert_eq!(account(gone), (bytes(1), bytes(0), 0, vec![]));
        assert!(broken.account.is_none());
        assert_eq!(end.code(), yellowstone_grpc_proto::tonic::Code::Unavailable);
        let asked = asked.join().unwrap();
        let program = asked.iter().find(|call| call["method"] == "programSubscribe").unwrap();
        let compared =
            json!([{ "memcmp": { "offset": 32, "bytes": "AQID", "encoding": "base64" } }]);
        assert_eq!(program["params"][1]["filters"], compared);
        // The node is gone, and so is the endpoint behind it.
        let (told, end) = heard(url);
        assert!(told.is_empty());
        assert_eq!(end.code(), yellowstone_grpc_proto::tonic::Code::Unavailable);
    }
}
