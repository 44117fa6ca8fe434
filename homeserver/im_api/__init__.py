"""The endpoints of the IM facade, under `/im/v1`, and the web page that uses them."""
