//! Git LFS, as far as a clone and a push ask: the batch of objects, where they are kept, and locks that nobody has
//! (<https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>).

use serde_json::{Value, json};

use super::answer::{Call, Reply, RouteResponse};
use super::state::State;

/// What a repository's LFS is asked below its git URL.
pub(super) const BATCH: &str = "/info/lfs/objects/batch";
pub(super) const VERIFY_LOCKS: &str = "/info/lfs/locks/verify";

const JSON: &str = "application/vnd.git-lfs+json";

/// Whether a batch is there to upload: the one question that needs the right to write.
pub(super) fn uploads(call: &Call) -> bool {
    call.json().is_ok_and(|asked| asked["operation"] == "upload")
}

impl State {
    /// Answers whoever was admitted to the repository.
    pub(super) fn lfs(&self, call: &Call, repository: u64, rest: &str) -> Reply {
        let asked = call.json()?;
        let body = match rest {
            VERIFY_LOCKS => json!({"ours": [], "theirs": []}),
            _ => {
                let objects = asked["objects"].as_array().into_iter().flatten();
                let objects: Vec<Value> =
                    objects.map(|object| self.lfs_object(repository, object, uploads(call))).collect();
                json!({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})
            }
        };
        Ok(RouteResponse::new(200, JSON, body.to_string()))
    }

    /// Where an object is to be had or to be put. GitHub's storage is another host, with a signature in the URL and no token.
    fn lfs_object(&self, repository: u64, object: &Value, upload: bool) -> Value {
        let oid = object["oid"].as_str().unwrap_or_default();
        let mut answer = json!({"oid": oid, "size": object["size"], "authenticated": true});
        let action = json!({"href": format!("{}/lfs-storage/{repository}/{oid}", self.url), "expires_in": 3600});
        match (upload, self.lfs_objects.contains_key(&(repository, oid.to_owned()))) {
            (true, false) => answer["actions"] = json!({"upload": action}),
            (false, true) => answer["actions"] = json!({"download": action}),
            (true, true) => {}
            (false, false) => answer["error"] = json!({"code": 404, "message": "Object does not exist on the server"}),
        }
        answer
    }

    /// The storage itself. A token that comes here has gone to another host than GitHub's.
    pub(super) fn lfs_storage(&mut self, call: &Call, repository: &str, oid: &str) -> Reply {
        if call.header("authorization").is_some() {
            return Err(RouteResponse::error(400, "Only one auth mechanism allowed"));
        }
        let key = (repository.parse().map_err(|_| RouteResponse::not_found())?, oid.to_owned());
        if call.method == "PUT" {
            self.lfs_objects.insert(key, call.body.to_vec());
            return Ok(RouteResponse::empty(200));
        }
        let content = self.lfs_objects.get(&key).ok_or_else(RouteResponse::not_found)?;
        Ok(RouteResponse::new(200, "application/octet-stream", content.clone()))
    }
}
