//! Kinds that hold the template of a pod: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job and CronJob.
//!
//! In a cluster, controllers make pods of them. Here that is a pure function: which pods there should be and what each of
//! them is. When to start the next one and what to do when one fails is for whoever runs them; for Jobs, whose rules are
//! many, [`job`] decides that too, from the pods there have been; for the others it is [`set`].

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};

use crate::core::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use crate::decode::Document;
use crate::diagnostic::Diagnostics;
use crate::load::ValidPod;
use crate::meta::{ObjectMeta, OwnerReference};
use crate::path::Path;

pub mod cron;
pub(crate) mod indexes;
pub mod job;
pub(crate) mod pods;
pub mod set;

/// One object that pods are made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// `apps/v1` `Deployment`
    Deployment(Box<Deployment>),
    /// `apps/v1` `ReplicaSet`
    ReplicaSet(Box<ReplicaSet>),
    /// `apps/v1` `StatefulSet`
    StatefulSet(Box<StatefulSet>),
    /// `apps/v1` `DaemonSet`
    DaemonSet(Box<DaemonSet>),
    /// `batch/v1` `Job`
    Job(Box<Job>),
    /// `batch/v1` `CronJob`
    CronJob(Box<CronJob>),
}

impl Workload {
    /// `Deployment` …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "Deployment",
            Self::ReplicaSet(_) => "ReplicaSet",
            Self::StatefulSet(_) => "StatefulSet",
            Self::DaemonSet(_) => "DaemonSet",
            Self::Job(_) => "Job",
            Self::CronJob(_) => "CronJob",
        }
    }

    /// Name, namespace, labels and so on.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Deployment(object) => &object.metadata,
            Self::ReplicaSet(object) => &object.metadata,
            Self::StatefulSet(object) => &object.metadata,
            Self::DaemonSet(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
            Self::CronJob(object) => &object.metadata,
        }
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Deployment(object) => &mut object.metadata,
            Self::ReplicaSet(object) => &mut object.metadata,
            Self::StatefulSet(object) => &mut object.metadata,
            Self::DaemonSet(object) => &mut object.metadata,
            Self::Job(object) => &mut object.metadata,
            Self::CronJob(object) => &mut object.metadata,
        }
    }

    /// Asks for another number of pods; of a kind that has such a number, that is.
    pub(crate) fn set_replicas(&mut self, replicas: i32) {
        let replicas = Some(replicas);
        match self {
            Self::Deployment(object) => {
                object.spec.get_or_insert_default().replicas = replicas;
            }
            Self::ReplicaSet(object) => {
                object.spec.get_or_insert_default().replicas = replicas;
            }
            Self::StatefulSet(object) => {
                object.spec.get_or_insert_default().replicas = replicas;
            }
            Self::DaemonSet(_) | Self::Job(_) | Self::CronJob(_) => {}
        }
    }

    /// The template of its pods.
    #[must_use]
    pub fn template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::Deployment(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::ReplicaSet(object) => object.spec.as_ref()?.template.as_ref(),
            Self::StatefulSet(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::DaemonSet(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::Job(_) | Self::CronJob(_) => self.job_spec().map(|spec| &spec.template),
        }
    }

    /// Where the template is in the object.
    #[must_use]
    pub fn template_path(&self) -> Path {
        match self {
            Self::CronJob(_) => Path::fields("spec.jobTemplate.spec.template"),
            _ => Path::fields("spec.template"),
        }
    }

    /// The specification of a Job, or of the jobs of a CronJob.
    #[must_use]
    pub fn job_spec(&self) -> Option<&JobSpec> {
        match self {
            Self::Job(object) => object.spec.as_ref(),
            Self::CronJob(object) => object.spec.job_template.spec.as_ref(),
            _ => None,
        }
    }
}

/// A workload as the API server would have stored it: defaulted and free of errors.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidWorkload {
    workload: Workload,
    document: Document,
    /// Where in the document the template of its pods stands; for the job of a CronJob, the document is the CronJob's.
    template_path: Path,
}

impl ValidWorkload {
    pub(crate) fn new(workload: Workload, document: Document) -> Self {
        let template_path = workload.template_path();
        Self {
            workload,
            document,
            template_path,
        }
    }

    /// The object.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The text it came from.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// `metadata.name`
    #[must_use]
    pub fn name(&self) -> &str {
        self.workload.metadata().name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`
    #[must_use]
    pub fn namespace(&self) -> &str {
        let namespace = self.workload.metadata().namespace.as_deref();
        namespace.unwrap_or("default")
    }

    /// How many pods there should be at once. A DaemonSet has one per machine, and a CronJob has none but in its jobs.
    #[must_use]
    pub fn replicas(&self) -> usize {
        let count = match &self.workload {
            Workload::Deployment(object) => object.spec.as_ref().and_then(|spec| spec.replicas),
            Workload::ReplicaSet(object) => object.spec.as_ref().and_then(|spec| spec.replicas),
            Workload::StatefulSet(object) => object.spec.as_ref().and_then(|spec| spec.replicas),
            Workload::DaemonSet(_) => Some(1),
            Workload::Job(object) => object.spec.as_ref().map(job::at_once),
            Workload::CronJob(_) => Some(0),
        };
        usize::try_from(count.unwrap_or(1)).unwrap_or(0)
    }

    /// Whether the pods are started one after the other, each once the one before it is Ready.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        match &self.workload {
            Workload::StatefulSet(object) => object
                .spec
                .as_ref()
                .is_none_or(|spec| spec.pod_management_policy.as_deref() != Some("Parallel")),
            _ => false,
        }
    }

    /// The pod `index`, counted from 0: for a StatefulSet its ordinal, for an Indexed Job its completion index. `random`
    /// makes the names of the others differ. A CronJob's pods are those of its [jobs](Self::scheduled_job); what comes here
    /// shows what they are like.
    ///
    /// # Errors
    ///
    /// What makes this pod invalid although the template is valid, such as a name that has become too long.
    pub fn pod(&self, index: usize, random: u64) -> Result<ValidPod, Diagnostics> {
        let pod = pods::pod(&self.workload, index, random);
        let base = self.template_path.clone();
        let problems = crate::validate::pod(&pod);
        if problems.is_empty() {
            return Ok(ValidPod::of_template(pod, self.document.clone(), base));
        }
        let placed = problems
            .into_iter()
            .map(|problem| self.document.place(problem.under(&base)));
        Err(Diagnostics(placed.collect()))
    }

    /// The pod `index` as [`Self::pod`] makes it, with the workload of this UID as its owner.
    ///
    /// # Errors
    ///
    /// As [`Self::pod`].
    pub fn owned_pod(&self, index: usize, random: u64, uid: &str) -> Result<Pod, Diagnostics> {
        let mut pod = self.pod(index, random)?.into_pod();
        pod.metadata.owner_references = Some(vec![self.owner(uid)]);
        if matches!(self.workload, Workload::Job(_)) {
            let labels = pod.metadata.labels.get_or_insert_default();
            for label in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
                labels.insert(label.to_owned(), uid.to_owned());
            }
        }
        Ok(pod)
    }

    /// Whether a pod was made of it, or of what it makes: a Deployment's ReplicaSets, a CronJob's jobs. Namespaces are not compared.
    #[must_use]
    pub fn owns(&self, pod: &Pod) -> bool {
        let owners = pod.metadata.owner_references.iter().flatten();
        let mut controllers = owners.filter(|owner| owner.controller == Some(true));
        let rest_of = |owner: &OwnerReference| {
            let rest = owner.name.strip_prefix(self.name())?.strip_prefix('-')?;
            Some(rest.to_owned())
        };
        controllers.any(|owner| match &self.workload {
            Workload::Deployment(_) => {
                let labels = pod.metadata.labels.as_ref();
                let hash = labels.and_then(|labels| labels.get("pod-template-hash"));
                owner.kind == "ReplicaSet" && hash.is_some() && rest_of(owner) == hash.cloned()
            }
            Workload::CronJob(_) => {
                let is_minute = |rest: String| {
                    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
                };
                owner.kind == "Job" && rest_of(owner).is_some_and(is_minute)
            }
            _ => owner.kind == self.workload.kind() && owner.name == self.name(),
        })
    }

    /// Whether the pod of an index has the same name every time it is made.
    #[must_use]
    pub fn has_fixed_names(&self) -> bool {
        matches!(self.workload, Workload::StatefulSet(_))
    }

    /// What stands in the metadata of its pods: the workload as their owner. A Deployment owns its pods by way of the ReplicaSet that it
    /// makes of its template.
    #[must_use]
    pub fn owner(&self, uid: &str) -> OwnerReference {
        let (api_version, kind) = match &self.workload {
            Workload::Deployment(_) => ("apps/v1", "ReplicaSet"),
            Workload::ReplicaSet(_) | Workload::StatefulSet(_) | Workload::DaemonSet(_) => {
                ("apps/v1", self.workload.kind())
            }
            Workload::Job(_) | Workload::CronJob(_) => ("batch/v1", self.workload.kind()),
        };
        let name = match &self.workload {
            Workload::Deployment(_) => {
                let template = self.workload.template().cloned().unwrap_or_default();
                format!("{}-{}", self.name(), pods::hash(&template))
            }
            _ => self.name().to_owned(),
        };
        OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name,
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// The claims that the pod `index` of a StatefulSet has of its own. They stay when the pod goes.
    #[must_use]
    pub fn claims(&self, index: usize) -> Vec<PersistentVolumeClaim> {
        match &self.workload {
            Workload::StatefulSet(set) => pods::claims(set, index),
            _ => Vec::new(),
        }
    }

    /// The job that a CronJob makes for the minute `minute`, counted from 1970; it is part of the name.
    #[must_use]
    pub fn scheduled_job(&self, minute: i64) -> Option<Self> {
        match &self.workload {
            Workload::CronJob(cron) => Some(Self {
                workload: Workload::Job(Box::new(pods::job_of_cron(cron, minute))),
                document: self.document.clone(),
                template_path: self.template_path.clone(),
            }),
            _ => None,
        }
    }
}
