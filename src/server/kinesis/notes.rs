//! What is noted about streams and consumers: tags, policies, encryption, monitoring.

use super::call::{Call, Reply, invalid};
use super::consumers::Named;
use super::streams::{count, tags};
use crate::catalog::{Encryption, Metadata, ShardMetrics, Stream, Tags};
use crate::kinesis::Encoding;
use crate::kinesis::arn::Arn;
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::{Input, is_well_formed};
use crate::kinesis::output::Fields;
use crate::limits::TAGS_MAX;
use crate::runtime::Runtime;
use crate::server::mail::{AdminOp, Note};

fn write_tags<'t>(out: &mut Fields<'_>, tags: impl Iterator<Item = (&'t String, &'t String)>) {
    out.structures("Tags", tags, |out, (key, value)| {
        out.str("Key", key);
        out.str("Value", value);
    });
}

fn tag_keys(input: &Input<'_>) -> Vec<String> {
    input.strings("TagKeys").into_iter().flatten().map(ToOwned::to_owned).collect()
}

/// The metrics in a request.
fn metrics(input: &Input<'_>) -> ShardMetrics {
    let named = input.strings("ShardLevelMetrics").into_iter().flatten().filter_map(ShardMetrics::named);
    named.fold(ShardMetrics::NONE, |all, one| all | one)
}

/// Tags and policy of a stream or of a consumer of it.
struct Noted<'c> {
    tags: &'c Tags,
    policy: Option<&'c String>,
}

impl<R: Runtime> Call<'_, R> {
    async fn note(&self, name: &str, consumer: Option<&str>, note: Note) -> Result<Reply, Error> {
        let about = self.about(name);
        let about = consumer.map_or(about, |consumer| about.consumer(consumer));
        let op = AdminOp::Note { name: name.to_owned(), consumer: consumer.map(ToOwned::to_owned), note };
        self.admin(op, &about).await?;
        Ok(Reply::Void)
    }

    /// Looks at what is noted about a resource.
    fn see_noted<T>(&self, arn: &Arn<'_>, look: impl FnOnce(Noted<'_>) -> Result<T, Error>) -> Result<T, Error> {
        match arn {
            Arn::Stream(stream) => self.see(stream.name, |stream, _| {
                let Metadata { tags, policy, .. } = stream.metadata();
                look(Noted { tags, policy: policy.as_ref() })
            }),
            Arn::Consumer(arn) => {
                let named = Named { stream: arn.stream.name, name: arn.name, created_s: Some(arn.created_s) };
                self.see_consumer(&named, |_, consumer, _| {
                    look(Noted { tags: &consumer.tags, policy: consumer.policy.as_ref() })
                })
            }
        }
    }

    /// Changes what is noted about a resource.
    async fn note_resource(&self, arn: &Arn<'_>, note: Note) -> Result<Reply, Error> {
        self.see_noted(arn, |_| Ok(()))?;
        match arn {
            Arn::Stream(stream) => self.note(stream.name, None, note).await,
            Arn::Consumer(consumer) => self.note(consumer.stream.name, Some(consumer.name), note).await,
        }
    }

    pub(super) async fn add_tags_to_stream(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        self.see(name, |_, _| Ok(()))?;
        self.note(name, None, Note::Tags(tags(input)?, Vec::new())).await
    }

    pub(super) async fn remove_tags_from_stream(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        self.see(name, |_, _| Ok(()))?;
        self.note(name, None, Note::Tags(Tags::new(), tag_keys(input))).await
    }

    pub(super) fn list_tags_for_stream(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let limit = input.int("Limit").map_or(TAGS_MAX, count);
        let after = input.str("ExclusiveStartTagKey");
        self.see(name, |stream, _| {
            let rest = stream.metadata().tags.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
            let mut tags: Vec<_> = rest.take(limit + 1).collect();
            let more = tags.len() > limit;
            tags.truncate(limit);
            self.answer(|out| {
                write_tags(out, tags.into_iter());
                out.bool("HasMoreTags", more);
            })
        })
    }

    pub(super) async fn tag_resource(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let arn = self.resource(input)?;
        self.note_resource(&arn, Note::Tags(tags(input)?, Vec::new())).await
    }

    pub(super) async fn untag_resource(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let arn = self.resource(input)?;
        self.note_resource(&arn, Note::Tags(Tags::new(), tag_keys(input))).await
    }

    pub(super) fn list_tags_for_resource(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let arn = self.resource(input)?;
        self.see_noted(&arn, |noted| self.answer(|out| write_tags(out, noted.tags.iter())))
    }

    pub(super) async fn put_policy(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let arn = self.resource(input)?;
        let policy = input.str("Policy").unwrap_or_default();
        if !policy.trim_start().starts_with('{') || !is_well_formed(Encoding::Json, policy.as_bytes()) {
            return Err(invalid("The policy is not a JSON document."));
        }
        self.note_resource(&arn, Note::Policy(Some(policy.to_owned()))).await
    }

    pub(super) fn get_policy(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let arn = self.resource(input)?;
        self.see_noted(&arn, |noted| self.answer(|out| out.str("Policy", noted.policy.map_or("{}", String::as_str))))
    }

    pub(super) async fn delete_policy(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let arn = self.resource(input)?;
        self.see_noted(&arn, |noted| match noted.policy {
            Some(_) => Ok(()),
            None => {
                let resource = input.str("ResourceARN").unwrap_or_default();
                let text = format!("No resource policy found for resource {resource}.");
                Err(Error::new(Code::ResourceNotFoundException, text))
            }
        })?;
        self.note_resource(&arn, Note::Policy(None)).await
    }

    /// A request to start or stop encryption, which must be of type KMS.
    fn kms_key<'i>(&self, input: &'i Input<'_>) -> Result<(&'i str, &'i str), Error> {
        let name = self.named(input)?;
        self.see_active(name, |_| Ok(()))?;
        if input.str("EncryptionType") != Some("KMS") {
            return Err(invalid("EncryptionType must be KMS."));
        }
        Ok((name, input.str("KeyId").unwrap_or_default()))
    }

    pub(super) async fn start_encryption(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let (name, key) = self.kms_key(input)?;
        self.note(name, None, Note::Encryption(Some(key.to_owned()))).await
    }

    pub(super) async fn stop_encryption(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let (name, _) = self.kms_key(input)?;
        self.note(name, None, Note::Encryption(None)).await
    }

    pub(super) async fn enable_monitoring(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let wanted = metrics(input);
        self.monitor(input, |current| current | wanted).await
    }

    pub(super) async fn disable_monitoring(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let unwanted = metrics(input);
        self.monitor(input, |current| current & !unwanted).await
    }

    async fn monitor(
        &self,
        input: &Input<'_>,
        desired: impl FnOnce(ShardMetrics) -> ShardMetrics,
    ) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let current = self.see_active(name, |stream: &Stream| Ok(stream.metadata().monitoring))?;
        let desired = desired(current);
        self.note(name, None, Note::Monitoring(desired)).await?;
        self.answer(|out| {
            out.str("StreamName", name);
            out.strings("CurrentShardLevelMetrics", current.names());
            out.strings("DesiredShardLevelMetrics", desired.names());
            out.display("StreamARN", self.arn(name));
        })
    }
}

/// Whether what a stream holds is said to be encrypted.
pub(super) fn is_encrypted(stream: &Stream) -> bool {
    matches!(stream.metadata().encryption, Some(Encryption { .. }))
}
