"""The client-server API: declared endpoints that parse, permit, call one service and shape the answer."""
