"""An S3 server on loopback, in this process, for as long as the tests run."""

import hashlib
import logging

import fsspec
import pytest


@pytest.fixture(scope="session")
def s3_endpoint():
    """Address of an S3 server on loopback."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint, monkeypatch, tmp_path):
    """A fresh bucket on that server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]}"
    system = fsspec.get_filesystem_class("s3")
    system.clear_instance_cache()
    system(use_listings_cache=False).mkdir(bucket)
    return f"s3://{bucket}/registry"
