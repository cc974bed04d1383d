//! A Yellowstone gRPC endpoint on loopback, which does with subscriptions what a test wants.

use std::{net::TcpListener, pin::Pin, thread};

use futures_util::{Stream, StreamExt as _, stream};
use solana_account::Account;
use solana_address::Address;
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
        subscribe_update::UpdateOneof,
    },
    tonic::{Request, Response, Status, Streaming, async_trait, transport::Server},
};

pub type Updates<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What becomes of a subscription.
pub enum Reply {
    /// It is not answered at all; or it is taken, and the ping behind it is not answered.
    Hangs { is_taken: bool },
    /// The ping is answered, and then this is told.
    Tells(Updates<SubscribeUpdate>),
}

type Answer = Box<dyn Fn(Option<&str>, SubscribeRequest) -> Reply + Send + Sync>;

struct Endpoint(Answer);

/// Serves on loopback, until the test process ends, with an answer to each token and
/// subscription; returns the URL.
pub fn serve(
    answer: impl Fn(Option<&str>, SubscribeRequest) -> Reply + Send + Sync + 'static,
) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = GeyserServer::new(Endpoint(Box::new(answer)));
        let server = Server::builder().add_service(endpoint);
        runtime.block_on(server.serve(([127, 0, 0, 1], port).into())).unwrap();
    });
    format!("http://127.0.0.1:{port}")
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
        let token = token.as_ref().map(|token| token.to_str().unwrap());
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap();
        let told = match (self.0)(token, first) {
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
