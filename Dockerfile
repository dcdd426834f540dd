# The server alone: no training tools, no root, nothing written. Research software, not a medical device.
#   docker build -t dermasense --build-arg TORCH_INDEX=<index of PyTorch's CPU wheels, see docs/serve.md> .
#   docker run -p 127.0.0.1:8000:8000 dermasense
FROM python:3.12-slim AS build
# Where torch comes from. Empty: the default registry, on x86-64 a build with CUDA (about 6 GB).
ARG TORCH_INDEX=
RUN python -m venv /opt/dermasense
ENV PATH=/opt/dermasense/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3013 # the package says which versions it takes
RUN pip install torch torchvision ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
COPY pyproject.toml README.md LICENSE /source/
COPY conf /source/conf
COPY hydra_plugins /source/hydra_plugins
COPY dermasense /source/dermasense
RUN pip install '/source[serve,export]'

FROM python:3.12-slim
COPY --from=build /opt/dermasense /opt/dermasense
ENV PATH=/opt/dermasense/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 NO_ALBUMENTATIONS_UPDATE=1
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dermasense
USER 10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["dermasense", "serve", "host=0.0.0.0"]
# Options follow, such as bundle=/bundle of a mounted folder.
CMD []
