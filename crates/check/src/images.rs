//! What is known about images without looking into them: programs that everybody runs from their official images.
//!
//! Only names that can mean nothing else are taken: `nginx` of Docker Hub, and not somebody's `registry.example/nginx`.

/// A program as its official image runs it.
#[derive(Debug)]
pub(crate) struct Software {
    /// The image's name without registry, tag and digest.
    images: &'static [&'static str],
    /// How people call it.
    pub(crate) title: &'static str,
    /// Files and directories that it reads by itself.
    pub(crate) reads: &'static [&'static str],
    /// Directories in which the image has files of its own, without which it does not do its work.
    pub(crate) holds: &'static [&'static str],
    /// Files without which it does not start, each with the directory that people mount something at.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    /// Where it listens unless told otherwise.
    pub(crate) ports: &'static [u16],
    /// Whether its own command runs until it is stopped.
    pub(crate) serves: bool,
    /// The user it runs as, where that is root.
    pub(crate) is_root: bool,
}

const PLAIN: Software = Software {
    images: &[],
    title: "",
    reads: &[],
    holds: &[],
    needs: &[],
    ports: &[],
    serves: false,
    is_root: true,
};
const SERVER: Software = Software {
    serves: true,
    is_root: false,
    ..PLAIN
};

/// Directories that every image which is more than one program needs, and that hide it when something empty is mounted there.
pub(crate) const SYSTEM_DIRECTORIES: &[&str] = &[
    "/",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/usr",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/etc",
];

static ALL: &[Software] = &[
    Software {
        images: &[
            "busybox",
            "alpine",
            "debian",
            "ubuntu",
            "fedora",
            "rockylinux",
            "almalinux",
            "amazonlinux",
        ],
        title: "a bare system",
        ..PLAIN
    },
    Software {
        images: &["nginx"],
        title: "nginx",
        ports: &[80],
        reads: NGINX_READS,
        holds: NGINX_HOLDS,
        needs: NGINX_NEEDS,
        is_root: true,
        ..SERVER
    },
    Software {
        images: &["nginxinc/nginx-unprivileged"],
        title: "nginx",
        ports: &[8080],
        reads: NGINX_READS,
        holds: NGINX_HOLDS,
        needs: NGINX_NEEDS,
        ..SERVER
    },
    Software {
        images: &["httpd"],
        title: "the Apache HTTP server",
        ports: &[80],
        reads: &["/usr/local/apache2/conf", "/usr/local/apache2/htdocs"],
        holds: &[
            "/usr/local/apache2",
            "/usr/local/apache2/conf",
            "/usr/local/apache2/bin",
            "/usr/local/apache2/modules",
        ],
        needs: &[(
            "/usr/local/apache2/conf",
            "/usr/local/apache2/conf/httpd.conf",
        )],
        is_root: true,
        ..SERVER
    },
    Software {
        images: &["postgres"],
        title: "PostgreSQL",
        ports: &[5432],
        reads: &["/docker-entrypoint-initdb.d"],
        holds: &["/usr/lib/postgresql", "/usr/share/postgresql"],
        ..SERVER
    },
    Software {
        images: &["mysql"],
        title: "MySQL",
        ports: &[3306],
        reads: &["/docker-entrypoint-initdb.d", "/etc/mysql"],
        ..SERVER
    },
    Software {
        images: &["mariadb"],
        title: "MariaDB",
        ports: &[3306],
        reads: &["/docker-entrypoint-initdb.d", "/etc/mysql"],
        ..SERVER
    },
    Software {
        images: &["mongo"],
        title: "MongoDB",
        ports: &[27017],
        reads: &["/docker-entrypoint-initdb.d"],
        ..SERVER
    },
    Software {
        images: &["redis", "valkey/valkey"],
        title: "Redis",
        ports: &[6379],
        ..SERVER
    },
    Software {
        images: &["memcached"],
        title: "memcached",
        ports: &[11211],
        ..SERVER
    },
    Software {
        images: &["rabbitmq"],
        title: "RabbitMQ",
        ports: &[5672],
        reads: &["/etc/rabbitmq"],
        ..SERVER
    },
    Software {
        images: &["haproxy"],
        title: "HAProxy",
        reads: &["/usr/local/etc/haproxy"],
        ..SERVER
    },
    Software {
        images: &["traefik"],
        title: "Traefik",
        reads: &["/etc/traefik"],
        is_root: true,
        ..SERVER
    },
    Software {
        images: &["caddy"],
        title: "Caddy",
        reads: &["/etc/caddy/Caddyfile", "/usr/share/caddy"],
        needs: &[("/etc/caddy", "/etc/caddy/Caddyfile")],
        is_root: true,
        ..SERVER
    },
    Software {
        images: &["tomcat"],
        title: "Tomcat",
        ports: &[8080],
        reads: &["/usr/local/tomcat/webapps", "/usr/local/tomcat/conf"],
        holds: &[
            "/usr/local/tomcat",
            "/usr/local/tomcat/bin",
            "/usr/local/tomcat/conf",
            "/usr/local/tomcat/lib",
        ],
        needs: &[(
            "/usr/local/tomcat/conf",
            "/usr/local/tomcat/conf/server.xml",
        )],
        is_root: true,
        ..SERVER
    },
    Software {
        images: &["grafana/grafana"],
        title: "Grafana",
        ports: &[3000],
        reads: &["/etc/grafana/provisioning", "/etc/grafana/grafana.ini"],
        holds: &["/usr/share/grafana"],
        ..SERVER
    },
    Software {
        images: &["prom/prometheus"],
        title: "Prometheus",
        ports: &[9090],
        reads: &["/etc/prometheus/prometheus.yml"],
        needs: &[("/etc/prometheus", "/etc/prometheus/prometheus.yml")],
        ..SERVER
    },
];

const NGINX_READS: &[&str] = &[
    "/etc/nginx/nginx.conf",
    "/etc/nginx/mime.types",
    "/etc/nginx/conf.d",
    "/etc/nginx/templates",
    "/docker-entrypoint.d",
    "/usr/share/nginx/html",
];
const NGINX_HOLDS: &[&str] = &["/etc/nginx", "/etc/nginx/conf.d", "/usr/share/nginx/html"];
const NGINX_NEEDS: &[(&str, &str)] = &[("/etc/nginx", "/etc/nginx/nginx.conf")];

/// Registries that serve Docker Hub's official images under their own names.
const HUBS: &[&str] = &[
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "mirror.gcr.io",
    "public.ecr.aws",
];

/// What the image runs, if that is well known.
pub(crate) fn software(image: &str) -> Option<&'static Software> {
    let name = repository(image)?;
    ALL.iter().find(|software| software.images.contains(&name))
}

/// Whether the image has no command of its own but a shell, so that `args` alone are the command.
pub(crate) fn is_bare(image: &str) -> bool {
    software(image).is_some_and(|software| !software.serves)
}

/// The name on Docker Hub; nothing for the images of other registries.
fn repository(image: &str) -> Option<&str> {
    let image = image.split('@').next()?;
    let (registry, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        _ => (None, image),
    };
    if registry.is_some_and(|registry| !HUBS.contains(&registry)) {
        return None;
    }
    let rest = rest.strip_prefix("docker/").unwrap_or(rest);
    let rest = rest.strip_prefix("library/").unwrap_or(rest);
    // The last colon is a tag's: a port would be in the registry's name.
    Some(rest.rsplit_once(':').map_or(rest, |(name, _)| name))
}

/// The tag that is pulled: `latest` when none is given; none when there is a digest.
pub(crate) fn tag(image: &str) -> Option<&str> {
    if image.contains('@') {
        return None;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    Some(name.rsplit_once(':').map_or("latest", |(_, tag)| tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_mean_nothing_else() {
        for image in [
            "nginx",
            "nginx:1.29-alpine",
            "docker.io/library/nginx:latest",
            "docker.io/nginx",
            "public.ecr.aws/docker/library/nginx:1",
            "nginx@sha256:0123",
            "nginx:1@sha256:0123",
        ] {
            let title = software(image).map(|software| software.title);
            assert_eq!(title, Some("nginx"), "{image}");
        }
        for image in [
            "registry.example/nginx",
            "localhost:5000/nginx",
            "bitnami/nginx",
            "nginx-ingress",
        ] {
            assert!(software(image).is_none(), "{image}");
        }
        assert!(is_bare("busybox:1.37") && !is_bare("nginx"));
    }

    #[test]
    fn tags() {
        assert_eq!(tag("localhost:5000/a"), Some("latest"));
        assert_eq!(tag("a:1"), Some("1"));
        assert_eq!(tag("a:1@sha256:0"), None);
    }
}
