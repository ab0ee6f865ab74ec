//! Who a container runs as (`pod-api.md` sections 4.3 and 6.2): the manifest over the image, names from the image's own files.

use podyard_api::core::Container;

use super::PodFacts;

/// A process's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Home directory by the image's `/etc/passwd`.
    pub(crate) home: String,
}

/// The image's account files, as text; empty when the image has none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accounts<'a> {
    pub(crate) passwd: &'a str,
    pub(crate) group: &'a str,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Accounts<'a> {
    fn users(&self) -> impl Iterator<Item = PasswdEntry<'a>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(PasswdEntry {
                name,
                uid,
                gid,
                home: fields.nth(1).unwrap_or("/"),
            })
        })
    }

    fn groups(&self) -> impl Iterator<Item = (&'a str, u32, &'a str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }
}

/// Resolves the identity.
///
/// # Errors
///
/// A text for the container's status: `runAsNonRoot` broken, or a name that the image does not know.
pub(crate) fn identity(
    container: &Container,
    image_user: &str,
    accounts: Accounts<'_>,
    facts: &PodFacts<'_>,
) -> Result<Identity, String> {
    let pod = facts.spec.security_context.as_ref();
    let own = container.security_context.as_ref();
    let wanted_uid = own
        .and_then(|own| own.run_as_user)
        .or_else(|| pod.and_then(|pod| pod.run_as_user));
    let wanted_gid = own
        .and_then(|own| own.run_as_group)
        .or_else(|| pod.and_then(|pod| pod.run_as_group));
    let non_root = own
        .and_then(|own| own.run_as_non_root)
        .or_else(|| pod.and_then(|pod| pod.run_as_non_root));
    if non_root == Some(true) {
        check_non_root(wanted_uid, image_user, &container.name, &facts.full_name())?;
    }

    let (user, group) = match wanted_uid {
        Some(uid) => (uid.to_string(), None),
        None => {
            let (user, group) = image_user
                .split_once(':')
                .map_or((image_user, None), |(user, group)| (user, Some(group)));
            (
                if user.is_empty() {
                    "0".to_owned()
                } else {
                    user.to_owned()
                },
                group,
            )
        }
    };
    let entry = match user.parse::<u32>() {
        Ok(uid) => accounts.users().find(|entry| entry.uid == uid),
        Err(_) => accounts.users().find(|entry| entry.name == user),
    };
    let uid = match (&entry, user.parse::<u32>()) {
        (Some(entry), _) => entry.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => {
            return Err(format!(
                "unable to find user {user}: no matching entries in passwd file"
            ));
        }
    };
    let gid = match (wanted_gid, group) {
        (Some(gid), _) => u32::try_from(gid).unwrap_or_default(),
        (None, Some(group)) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => accounts
                .groups()
                .find(|(name, ..)| *name == group)
                .map(|(_, gid, _)| gid)
                .ok_or_else(|| {
                    format!("unable to find group {group}: no matching entries in group file")
                })?,
        },
        (None, None) => entry.as_ref().map_or(0, |entry| entry.gid),
    };

    let mut groups: Vec<u32> = Vec::new();
    let mut add = |gid: u32| {
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    };
    add(gid);
    if let Some(pod) = pod {
        pod.fs_group
            .iter()
            .chain(pod.supplemental_groups.iter().flatten())
            .for_each(|gid| add(u32::try_from(*gid).unwrap_or_default()));
    }
    let strict = pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) == Some("Strict");
    if let (false, Some(entry)) = (strict, &entry) {
        for (_, gid, members) in accounts.groups() {
            if members.split(',').any(|member| member == entry.name) {
                add(gid);
            }
        }
    }
    let home = entry.map_or_else(|| "/".to_owned(), |entry| entry.home.to_owned());
    Ok(Identity {
        uid,
        gid,
        groups,
        home,
    })
}

fn check_non_root(
    wanted: Option<i64>,
    image_user: &str,
    container: &str,
    pod: &str,
) -> Result<(), String> {
    match wanted {
        Some(0) => Err(format!(
            "container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})"
        )),
        Some(_) => Ok(()),
        None => {
            let user = image_user.split(':').next().unwrap_or_default();
            match user.parse::<u32>() {
                Ok(uid) if uid != 0 => Ok(()),
                _ if user.is_empty() || user.parse() == Ok(0_u32) => Err(format!(
                    "container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})"
                )),
                _ => Err(format!(
                    "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root \
                     (pod: {pod:?}, container: {container})"
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use podyard_api::core::{Pod, PodSecurityContext, PodSpec, SecurityContext};

    use super::*;

    const ACCOUNTS: Accounts<'_> = Accounts {
        passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/srv:/bin/sh\n",
        group: "root:x:0:\nweb:x:102:\nlogs:x:7:web,other\n",
    };

    fn resolve(
        image_user: &str,
        own: SecurityContext,
        pod: PodSecurityContext,
    ) -> Result<Identity, String> {
        let object = Pod::default();
        let spec = PodSpec {
            security_context: Some(pod),
            ..PodSpec::default()
        };
        let facts = PodFacts::alone(&object, &spec);
        let container = Container {
            name: "c".to_owned(),
            security_context: Some(own),
            ..Container::default()
        };
        identity(&container, image_user, ACCOUNTS, &facts)
    }

    #[test]
    fn names_numbers_and_groups() {
        let plain = |user| {
            resolve(
                user,
                SecurityContext::default(),
                PodSecurityContext::default(),
            )
        };
        let ids = |identity: Result<Identity, String>| {
            identity.map(|identity| (identity.uid, identity.gid, identity.groups))
        };
        assert_eq!(ids(plain("")), Ok((0, 0, vec![0])));
        assert_eq!(ids(plain("web")), Ok((101, 102, vec![102, 7])));
        assert_eq!(ids(plain("web:logs")), Ok((101, 7, vec![7])));
        assert_eq!(ids(plain("5:6")), Ok((5, 6, vec![6])));
        assert!(plain("nobody").is_err_and(|text| text.contains("unable to find user nobody")));
        let own = SecurityContext {
            run_as_user: Some(101),
            run_as_group: Some(9),
            ..SecurityContext::default()
        };
        let pod = PodSecurityContext {
            fs_group: Some(2000),
            supplemental_groups: Some(vec![3000]),
            supplemental_groups_policy: Some("Strict".to_owned()),
            ..PodSecurityContext::default()
        };
        assert_eq!(
            ids(resolve("", own, pod)),
            Ok((101, 9, vec![9, 2000, 3000]))
        );
    }

    #[test]
    fn non_root_is_checked_with_the_kubelets_words() {
        let own = |uid| SecurityContext {
            run_as_non_root: Some(true),
            run_as_user: uid,
            ..SecurityContext::default()
        };
        let text = |user, uid| {
            resolve(user, own(uid), PodSecurityContext::default())
                .err()
                .unwrap_or_default()
        };
        assert!(
            text("", None)
                .starts_with("container has runAsNonRoot and image will run as root (pod: ")
        );
        assert!(text("web", None).contains("image has non-numeric user (web), cannot verify"));
        assert!(text("", Some(0)).starts_with("container's runAsUser breaks non-root policy"));
        assert_eq!(text("7", None), "");
        assert_eq!(text("", Some(7)), "");
    }
}
