# One image for every part of Erni; docker-compose.yml says which part a container is.
# Python 3.12: the newest for which every package with compiled code brings wheels.
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
# Name a package index with CPU builds of torch here (PyTorch publishes one). Without it, x86-64 machines get the
# default build, which works as well but carries several gigabytes for graphics cards.
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
RUN python -m venv /opt/erni
ENV PATH=/opt/erni/bin:$PATH
WORKDIR /app
# Dependencies first: this layer is built again only when they change, not with every change of the code.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY erni/__init__.py erni/__init__.py
RUN pip install --constraint constraints.txt ".[local,postgres,s3]" && pip uninstall --yes erni
COPY . .
RUN pip install --no-deps --editable .

FROM python:${PYTHON_VERSION}-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /data erni \
    && install --directory --owner erni --group erni --mode 0750 /data
COPY --from=build /opt/erni /opt/erni
COPY --from=build /app /app
ENV PATH=/opt/erni/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    HF_HOME=/data/models \
    ERNI_DATA_DIR=/data \
    ERNI_API__HOST=0.0.0.0 \
    ERNI_FLOWER__HOST=0.0.0.0
WORKDIR /app
USER erni
VOLUME /data
EXPOSE 8000 5555
ENTRYPOINT ["tini", "--"]
CMD ["gunicorn", "--config", "config/gunicorn.py", "api.wsgi:app"]
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
