//! What does not go together, though each setting is well for itself.

use super::{Config, Feed, Simulate, reader::Reader};
use crate::{build::plan::Fees, feeds::source::nodes::Role, format::most_bytes};

impl Config {
    /// Notes what does not go together.
    pub(super) fn check(&self, reader: &mut Reader) {
        let signer = &self.signer;
        if signer.vault.is_some() && (signer.vault_key.is_none() || signer.vault_pubkey.is_none()) {
            reader.mistake("vault", "needs vault_key and vault_pubkey".to_owned());
        }
        if signer.vault.is_none() && (signer.vault_key.is_some() || signer.vault_pubkey.is_some()) {
            reader.mistake("vault_key", "there is no vault given".to_owned());
        }
        if signer.vault.is_some() && signer.keypair.is_some() {
            reader.mistake("keypair", "there is a vault too: give one of them".to_owned());
        }
        let tips = match &self.wishes.fees {
            Fees::Rules(rules) => rules.tip.as_ref(),
            Fees::Stated { .. } => None,
        };
        match tips {
            Some(rule) if rule.accounts.is_empty() && self.block_engines.is_empty() => {
                let how = "nobody takes it: give tip_accounts, or block_engines, which name theirs";
                reader.mistake("tip", how.to_owned());
            }
            Some(_) if self.block_engines.is_empty() && self.with(Role::Send).next().is_none() => {
                let how = "no road takes tips: give block_engines, or nodes that forward to them";
                reader.mistake("tip", how.to_owned());
            }
            None if !self.block_engines.is_empty() => {
                let how =
                    "a bundle without a tip is never taken: give tip_lamports or tip_share_bps";
                reader.mistake("block_engines", how.to_owned());
            }
            _ => {}
        }
        if tips.is_none() && self.tip_floor.is_some() {
            reader.mistake("tip_floor_url", "no tip is paid: give tip_share_bps".to_owned());
        }
        if tips.is_none() && self.wishes.dont_front.is_some() {
            reader.mistake("dont_front", "it goes with a tip, and none is paid".to_owned());
        }
        let sends = self.with(Role::Send).next().is_some() || !self.block_engines.is_empty();
        if !self.own_node && !sends {
            let how = "nothing is left to send to: give nodes or block_engines";
            reader.mistake("own_node", how.to_owned());
        }
        if self.send && self.wishes.tables.is_empty() {
            let how = format!(
                "sending needs lookup tables: without one no liquidation fits into {} bytes; \
                 keeper setup makes them",
                most_bytes()
            );
            reader.mistake("tables", how);
        }
        if self.refresh_prices && self.simulate == Simulate::None {
            let how = "what would be written is told by the local machine: simulate = \"local\"";
            reader.mistake("refresh_prices", how.to_owned());
        }
        if self.feed == Feed::Yellowstone && self.yellowstone_url.is_none() {
            reader.mistake("feed", "yellowstone needs yellowstone_url".to_owned());
        }
        if self.feed == Feed::Yellowstone && !cfg!(feature = "yellowstone") {
            let how = "this keeper was built without it: build it with --features yellowstone";
            reader.mistake("feed", how.to_owned());
        }
        let policy = &self.wishes.search.policy;
        for (what, list) in [
            ("owners", &policy.owners),
            ("obligations", &policy.obligations),
            ("mints", &policy.mints),
            ("reserves", &policy.reserves),
        ] {
            for key in list.allow.intersection(&list.deny) {
                reader.mistake(&format!("deny_{what}"), format!("{key} is in allow_{what} too"));
            }
        }
    }
}
