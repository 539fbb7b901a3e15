# Stands in for python:3.11-slim-bookworm where no registry of images is in reach (scripts/images):
# Debian's own Python 3.11 under the names that the Dockerfile beside this folder uses.
FROM smcatalog-bookworm

RUN apt-get update --quiet \
    && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
        libexpat1 python3.11 python3.11-venv \
    && ln --symbolic /usr/bin/python3.11 /usr/local/bin/python3 \
    && ln --symbolic /usr/bin/python3.11 /usr/local/bin/python \
    && rm --recursive --force /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
CMD ["python3"]
