//! The elections in which this process takes part, one electorate for each cluster that its gates write to. They outlive a
//! reload, so that no gate changes hands for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::assembly;
use crate::reason::Problem;
use crate::settings::{GateSettings, Mode, Settings};
use crate::target::kubernetes::{self, Cluster, Electorate, Seat};

/// The longest part of our identity that comes from the machine's name.
const MAX_HOST: usize = 63;

/// The elections of a process.
pub(super) struct Elections {
    me: String,
    joined: Mutex<BTreeMap<(Cluster, String), Arc<Electorate>>>,
}

/// Whether replicas share the gates: where the configuration says so, else where we run in a cluster.
pub(super) fn are_held(settings: &Settings) -> bool {
    settings.leader_election.unwrap_or_else(kubernetes::in_cluster)
}

impl Elections {
    /// None yet. A process has an identity of its own: one that was restarted is not the one before.
    pub(super) fn of(environment: &BTreeMap<String, String>) -> Self {
        let host = environment.get("HOSTNAME").cloned().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
        Self { me: identity(&host.unwrap_or_default()), joined: Mutex::default() }
    }

    /// The seat of a gate, where replicas share it: one that writes nothing needs none.
    pub(super) async fn seat(&self, gate: &GateSettings) -> Result<Option<Seat>, Problem> {
        let Some(key) = assembly::cluster(gate).filter(|_| gate.mode == Mode::Enforce) else { return Ok(None) };
        let mut joined = self.joined.lock().await;
        if let Some(electorate) = joined.get(&key) {
            return Ok(Some(electorate.seat(&gate.name)));
        }
        let electorate = Arc::new(Electorate::join(&key.0, &key.1, &self.me).await?);
        let seat = electorate.seat(&gate.name);
        joined.insert(key, electorate);
        Ok(Some(seat))
    }

    /// Hands over all that is held. The gates have ended.
    pub(super) async fn leave(&self) {
        let joined = std::mem::take(&mut *self.joined.lock().await);
        futures::future::join_all(joined.values().map(|electorate| electorate.leave())).await;
    }
}

/// The machine's name, as far as it can be part of an object's name, and something that no other process has.
fn identity(host: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let host: String = host.trim().to_ascii_lowercase().chars().filter(|it| plain(*it)).take(MAX_HOST).collect();
    let host = host.trim_matches('-');
    let host = if host.is_empty() { "replica" } else { host };
    let mut own = [0_u8; 5];
    // Without randomness the process id must do; two of one name would quarrel over versions, and neither would win twice.
    if aws_lc_rs::rand::fill(&mut own).is_err() {
        return format!("{host}-{}", std::process::id());
    }
    format!("{host}-{}", hex::encode(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_can_be_part_of_a_name_and_is_nobody_elses() {
        for (host, expected) in
            [("pod-1", "pod-1-"), ("A.b_C\n", "abc-"), ("-x-", "x-"), ("", "replica-"), ("ü", "replica-")]
        {
            assert!(identity(host).starts_with(expected), "{host:?}: {}", identity(host));
            assert!(identity(host).len() <= 75);
        }
        assert!(identity(&"x".repeat(300)).len() <= 75);
        assert_ne!(identity("a"), identity("a"));
    }
}
