-- What waits in one's PODs is the list that managers look at most, and it is a small part of all.
CREATE INDEX query_requests_by_pod_and_status ON query_requests (pod_id, status, id DESC);
