//! Accepting losses, so that quarantined shards take puts again.

use super::{Flow, InspectError, Inspector, LogDir, fail};
use crate::engine::recover::{self, Damage, Depth};
use crate::runtime::Runtime;

/// What a log has lost, as a start would find it, and nobody has accepted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The log.
    pub log: LogDir,
    /// What is lost.
    pub damage: Vec<Damage>,
}

impl<R: Runtime> Inspector<R> {
    /// The losses because of which a start would quarantine logs. Changes nothing.
    pub async fn losses(&self) -> Result<Vec<Loss>, InspectError> {
        let mut out = Vec::new();
        for log in self.logs().await? {
            let mut see = |_: recover::Sight<'_>| Flow::Continue(());
            let examined = recover::examine(&self.rt, log.group, &log.path, Depth::Start, None, &mut see).await?;
            let accepted =
                recover::read_losses(&self.rt, &log.path).await.map_err(fail("read losses in", &log.path))?;
            let mut damage = examined.report.damage;
            damage.retain(|damage| !damage.is_among(&accepted));
            if !damage.is_empty() {
                out.push(Loss { log, damage });
            }
        }
        Ok(out)
    }

    /// Gives up what `loss` lists: from the next start on the log takes puts again, behind what is left. Nothing is deleted;
    /// reading the lost offsets still fails and says where intact ones resume.
    pub async fn accept(&self, loss: &Loss) -> Result<(), InspectError> {
        let Loss { log, damage } = loss;
        recover::accept_losses(&self.rt, &log.path, damage).await.map_err(fail("write losses in", &log.path))
    }
}
