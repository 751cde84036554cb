-- Made up, and the same at every first start.
CREATE TABLE users (
    id serial PRIMARY KEY,
    email varchar(255) NOT NULL UNIQUE,
    name varchar(255) NOT NULL,
    department varchar(100),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    category varchar(100) NOT NULL,
    price numeric(10, 2) NOT NULL CHECK (price >= 0),
    stock integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users (id),
    product_name varchar(255) NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    total_amount numeric(12, 2) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_user_id ON orders (user_id);
CREATE INDEX orders_status ON orders (status);

INSERT INTO users (email, name, department, is_active, created_at)
SELECT 'user' || n || '@shop.example',
       (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Frances', 'Alan', 'Katherine'])[1 + n % 8] || ' '
           || (ARRAY['Stone', 'Rivers', 'Fields', 'Woods', 'Lake'])[1 + n % 5],
       (ARRAY['sales', 'support', 'engineering', 'finance', NULL])[1 + n % 5],
       n % 11 <> 0,
       timestamptz '2025-01-01 00:00:00+00' + n * interval '7 hours'
FROM generate_series(1, 500) AS n;

INSERT INTO products (name, category, price, stock, created_at)
SELECT (ARRAY['Lamp', 'Chair', 'Desk', 'Shelf', 'Rug'])[1 + n % 5] || ' no. ' || n,
       (ARRAY['light', 'seating', 'tables', 'storage', 'textiles'])[1 + n % 5],
       round((5 + (n * 37 % 400) + 0.99)::numeric, 2),
       n * 13 % 90,
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1 hour'
FROM generate_series(1, 200) AS n;

INSERT INTO orders (user_id, product_name, quantity, total_amount, status, created_at)
SELECT 1 + n * 17 % 500,
       p.name,
       1 + n % 4,
       p.price * (1 + n % 4),
       (ARRAY['pending', 'paid', 'shipped', 'delivered', 'delivered', 'delivered', 'cancelled'])[1 + n % 7],
       timestamptz '2025-06-01 00:00:00+00' + n * interval '53 minutes'
FROM generate_series(1, 5000) AS n
JOIN products AS p ON p.id = 1 + n * 7 % 200;
