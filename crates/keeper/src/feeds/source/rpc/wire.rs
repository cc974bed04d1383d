//! Accounts, lists and filters as nodes write them.

use std::{fmt, marker::PhantomData};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use klend_fork::lenient;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor as JsonVisitor, value::SeqAccessDeserializer},
};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::bpf_loader_upgradeable;

use crate::feeds::source::Filter;

/// What an account looks like in an answer.
/// Accounts may have more in them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireAccount {
    #[serde(deserialize_with = "lenient::number")]
    lamports: u64,
    data: (String, String),
    owner: String,
    executable: bool,
    #[serde(default = "lenient::exempt", deserialize_with = "lenient::number")]
    rent_epoch: u64,
}

#[derive(Deserialize)]
pub(super) struct Answer<T> {
    pub context: Context_,
    pub value: T,
}

#[derive(Deserialize)]
pub(super) struct Context_ {
    #[serde(deserialize_with = "lenient::number")]
    pub slot: u64,
}

/// A list, with the slot it is of where the node says it.
pub(super) struct Listed<T> {
    pub slot: Option<u64>,
    pub value: Vec<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> JsonVisitor<'de> for Either<T> {
            type Value = Listed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or a list and its context")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Listed<T>, A::Error> {
                let value = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Listed { slot: None, value })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed<T>, A::Error> {
                let (mut slot, mut value) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match &*key {
                        "context" => slot = Some(map.next_value::<Context_>()?.slot),
                        "value" => value = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let value = value.ok_or_else(|| serde::de::Error::missing_field("value"))?;
                Ok(Listed { slot, value })
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

#[derive(Deserialize)]
pub(super) struct Keyed {
    pub pubkey: String,
    pub account: WireAccount,
}

impl WireAccount {
    /// The account, whose data has to be in base64.
    pub fn decode(self) -> Result<Account> {
        let (data, encoding) = self.data;
        if encoding != "base64" {
            bail!("data is encoded as {encoding}, base64 was asked for");
        }
        Ok(Account {
            lamports: self.lamports,
            data: STANDARD.decode(data)?,
            owner: parse_address(&self.owner)?,
            executable: self.executable,
            rent_epoch: self.rent_epoch,
        })
    }
}

impl Keyed {
    pub fn decode(self) -> Result<(Address, Account)> {
        Ok((parse_address(&self.pubkey)?, self.account.decode()?))
    }
}

pub(super) fn parse_address(text: &str) -> Result<Address> {
    text.parse().with_context(|| format!("{text:?} is not an address"))
}

/// Where an upgradeable program keeps its code.
pub fn program_data_address(account: &Account) -> Option<Address> {
    (account.executable && account.owner == bpf_loader_upgradeable::ID)
        .then(|| account.data.get(4..)?.first_chunk().copied().map(Address::new_from_array))?
}

/// The filter as `getProgramAccounts` and `programSubscribe` take it.
pub fn wire_filters(filter: &Filter) -> Value {
    let memcmp = |(offset, bytes): (usize, &[u8])| {
        let bytes = bs58::encode(bytes).into_string();
        json!({ "memcmp": { "offset": offset, "bytes": bytes } })
    };
    filter.compared().map(memcmp).collect()
}
