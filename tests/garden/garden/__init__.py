"""Payloads generated from descriptions, sent through the proxy to several origins."""
