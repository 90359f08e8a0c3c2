class Route(exports.Route):
    def route(self, sql, kind, digest, facts, class_):
        return policy.route(Statement(sql, kind, digest, facts, class_))
