# Stands in for postgis/postgis:15-3.4 where no registry of images is in reach (scripts/images):
# Debian's PostgreSQL 15 with its PostGIS (3.3), and as much of the image's entrypoint as compose uses.
FROM smcatalog-bookworm

# The user first, with the number that the image's has; no cluster of Debian's own; no services.
RUN groupadd --system --gid 999 postgres \
    && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres \
    && install --directory /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
    && apt-get update --quiet \
    && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
        -o Dpkg::Options::=--force-confold postgresql-15 postgresql-15-postgis-3 \
    && rm --recursive --force /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
    && install --directory --owner=postgres --group=postgres --mode=0700 /var/lib/postgresql/data \
    && install --directory --owner=postgres --group=postgres --mode=0755 /var/run/postgresql
COPY --chmod=0755 postgis-entrypoint /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PGDATA=/var/lib/postgresql/data \
    LANG=C.UTF-8
USER postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
